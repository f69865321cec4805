// Why a job is where it is, in one true sentence. Thread-safe.
#ifndef TRAINYARD_SCHEDULER_API_EXPLAIN_H_
#define TRAINYARD_SCHEDULER_API_EXPLAIN_H_

#include <vector>

#include "scheduler/runtime/planner.h"
#include "scheduler/runtime/view.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::api {

// `reason` is empty for a job that does not wait.
v1::ExplainJobResponse ExplainRow(const runtime::View& view, const journal::v1::JobRow& job);

// What would start it.
void AddWhatIfs(const std::vector<placement::Counterfactual>& changes, v1::ExplainJobResponse* out);

// The same as ExplainRow for a job that was only looked at.
v1::ExplainJobResponse ExplainPreview(const runtime::View& view, const std::string& project,
                                      const v1::JobSpec& spec, const runtime::Preview& preview);

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_EXPLAIN_H_
