// What the runs below a place of the quota tree hold now and wait for. Thread-safe.
#ifndef TRAINYARD_SCHEDULER_API_QUOTA_USE_H_
#define TRAINYARD_SCHEDULER_API_QUOTA_USE_H_

#include "scheduler/runtime/view.h"
#include "trainyard/v1/queue.pb.h"

namespace trainyard::api {

// Fills in used_milli and waiting_milli of every share, by its name and models. The model "cpu"
// counts thousandths of cores, "" all GPUs.
void FillUse(const runtime::View& view, v1::Quota* quota);

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_QUOTA_USE_H_
