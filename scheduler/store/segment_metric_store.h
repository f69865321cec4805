// Metric points as segmented files, one folder a job. Appending keeps only the next offsets in
// memory; curves are built when somebody asks for them, kept up to date from then on, and dropped
// when others need the room. Thread-safe; jobs do not wait for each other.
#ifndef TRAINYARD_SCHEDULER_STORE_SEGMENT_METRIC_STORE_H_
#define TRAINYARD_SCHEDULER_STORE_SEGMENT_METRIC_STORE_H_

#include <memory>
#include <string>

#include "scheduler/store/segmented_file.h"
#include "scheduler/store/store.h"

namespace trainyard::store {

// `points_in_memory_max`: of the curves of all jobs together.
std::unique_ptr<MetricStore> MakeSegmentMetricStore(std::string folder,
                                                    SegmentedFile::Options options,
                                                    size_t points_in_memory_max = 4 << 20);

}  // namespace trainyard::store

#endif  // TRAINYARD_SCHEDULER_STORE_SEGMENT_METRIC_STORE_H_
