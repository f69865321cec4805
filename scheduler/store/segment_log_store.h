// Logs as segmented files, one folder a job. Nothing is read before a job is asked for.
// Thread-safe; jobs do not wait for each other.
#ifndef TRAINYARD_SCHEDULER_STORE_SEGMENT_LOG_STORE_H_
#define TRAINYARD_SCHEDULER_STORE_SEGMENT_LOG_STORE_H_

#include <memory>
#include <string>

#include "scheduler/store/segmented_file.h"
#include "scheduler/store/store.h"

namespace trainyard::store {

// `folder` is made when the first line comes. A job's log beyond the limits of `options` loses its
// oldest segments, and says so to who reads it.
std::unique_ptr<LogStore> MakeSegmentLogStore(std::string folder, SegmentedFile::Options options);

}  // namespace trainyard::store

#endif  // TRAINYARD_SCHEDULER_STORE_SEGMENT_LOG_STORE_H_
