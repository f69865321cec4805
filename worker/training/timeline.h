// A record of what a rank did when, in the format of chrome://tracing (and Perfetto): one file a
// rank, events at wall-clock microseconds, so that the files of all ranks lie side by side once
// merged (python3 -m trainyard.timeline FOLDER).
//  - Events are kept in memory and appended to the file now and then and at the end; a rank that is
//    killed loses its last ones, the file stays readable.
// Thread-safe.
#ifndef TRAINYARD_WORKER_TRAINING_TIMELINE_H_
#define TRAINYARD_WORKER_TRAINING_TIMELINE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/file.h"
#include "common/mutex.h"
#include "worker/training/communicator.h"

namespace trainyard::training {

class Timeline {
 public:
  // Makes <folder>/rank-<rank>.trace.json.
  static absl::StatusOr<std::unique_ptr<Timeline>> Create(const std::string& folder, int rank);
  ~Timeline();

  static int64_t NowMicros();
  // From `start_us` to now; `lane` is a row of the rank's, 0 for its own thread.
  void Add(const char* name, int64_t start_us, uint64_t bytes, int lane = 0);
  // Writes what was added; else that happens when a call ends a second after the last time, so that
  // a rank that is killed leaves all but its last second.
  void Flush();

 private:
  Timeline(FileDescriptor file, int rank) : file_(std::move(file)), rank_(rank) {}
  void Write() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const FileDescriptor file_;
  const int rank_;
  Mutex mutex_;
  std::string text_ ABSL_GUARDED_BY(mutex_);
  int64_t written_us_ ABSL_GUARDED_BY(mutex_) = 0;
};

// `communicator` with every call of it in `timeline`.
std::unique_ptr<Communicator> WithTimeline(std::unique_ptr<Communicator> communicator,
                                           std::unique_ptr<Timeline> timeline);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_TIMELINE_H_
