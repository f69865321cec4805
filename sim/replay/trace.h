// A trace of GPU jobs: CSV "job_id,submit_time,num_gpus,duration[,vc]" with a header line. Pure but
// for ReadTrace.
#ifndef TRAINYARD_SIM_REPLAY_TRACE_H_
#define TRAINYARD_SIM_REPLAY_TRACE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace trainyard::replay {

struct TraceJob {
  int64_t id = 0;        // job_id of the file
  int64_t submit = 0;    // seconds
  int32_t gpus = 0;      // at least 1
  int64_t duration = 0;  // seconds of work, at least 1
  std::string tenant;    // vc, may be empty
  int64_t study = 0;     // jobs of one study are charged as one (las, las-r); 0: none
};

// Jobs sorted by submit time, stable. Every faulty line is named (INVALID_ARGUMENT, all at once, at
// most 20).
absl::StatusOr<std::vector<TraceJob>> ParseTrace(absl::string_view text,
                                                 absl::string_view file_name);
absl::StatusOr<std::vector<TraceJob>> ReadTrace(const std::string& path);

}  // namespace trainyard::replay

#endif  // TRAINYARD_SIM_REPLAY_TRACE_H_
