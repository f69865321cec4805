// Speaks to the supervisor of this attempt over TRAINYARD_SOCKET: metrics, should_stop,
// checkpoints. Outside a job (no socket) every call succeeds and does nothing, silently.
//  - Each call is one line there and one back; a broken connection is opened again once per call.
//  - A supervisor that is there and silent holds the training up for `patience` once; then reports
//    fail at once for as long, and for longer each time, up to six times. Checkpoints are declared
//    all the same.
//  - A report that fails is no reason to end a training: the caller says it once and goes on.
// Thread-compatible: one thread at a time.
#ifndef TRAINYARD_WORKER_TRAINING_REPORTER_H_
#define TRAINYARD_WORKER_TRAINING_REPORTER_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/file.h"

namespace trainyard::training {

using Metrics = std::vector<std::pair<std::string, double>>;

class Reporter {
 public:
  // Connects at the first call. `socket` as in RankContext; empty: outside a job.
  Reporter(std::string socket, int rank, absl::Duration patience = absl::Seconds(10));

  bool active() const { return !socket_.empty(); }
  // Metrics of one step; NaN and infinities are allowed. UNAVAILABLE without a supervisor,
  // INVALID_ARGUMENT when it refuses (its words), also above 64 KiB.
  absl::Status Report(int64_t step, const Metrics& metrics);
  // `path`, below AIP_CHECKPOINT_DIR and relative to it, is complete and will not change any more.
  absl::Status Checkpoint(int64_t step, const std::string& path);
  // Whether this attempt should save and end. Asks the supervisor; without an answer, the last one.
  bool ShouldStop();
  // The last answer, without asking: Report() renews it.
  bool should_stop() const { return should_stop_; }

 private:
  absl::Status Connect();
  absl::Status Exchange(const std::string& request);
  absl::StatusOr<std::string> Ask(absl::string_view line);
  absl::StatusOr<std::string> AskOnce(absl::string_view line);
  bool Quiet() const { return std::chrono::steady_clock::now() < quiet_until_; }
  absl::Status Broken(int error);
  absl::Status Understand(const std::string& reply);

  const std::string socket_;
  const int rank_;
  const absl::Duration patience_;
  absl::Duration quiet_;  // how long nothing is asked after the next silence
  std::chrono::steady_clock::time_point quiet_until_;
  FileDescriptor connection_;
  std::string unread_;
  bool should_stop_ = false;
};

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_REPORTER_H_
