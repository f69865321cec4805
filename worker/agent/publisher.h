// A member's results on their way into the store: checkpoints while it runs, the output trees when
// it has ended. Blocking; any pool thread. The digests become facts; nothing is visible to users
// before the scheduler accepted them for their epoch.
#ifndef TRAINYARD_WORKER_AGENT_PUBLISHER_H_
#define TRAINYARD_WORKER_AGENT_PUBLISHER_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/blob/blob.h"
#include "common/mutex.h"
#include "trainyard/agent/v1/agent.pb.h"

namespace trainyard::worker {

// Uploads `path` (a file or folder inside `checkpoints`, relative) as a tree in which it has the
// same place; returns the tree's digest. Thus a restored tree lies as it was written.
absl::StatusOr<std::string> UploadCheckpoint(blob::Client* client, const std::string& checkpoints,
                                             const std::string& path);

// Uploads what is in model/, checkpoints/, job_dir/ and tensorboard/ of the attempt folder; empty
// folders are left out, and checkpoints that were being written or removed. Members other than the
// head publish their checkpoints only. `step`: last step told, of the checkpoint tree. When the
// spec names a place in the store the files get their names there too: the job's folder itself,
// model/, checkpoints/ and logs/. The store takes them from an attempt of the current epoch only.
absl::StatusOr<std::vector<v1::OutputTree>> UploadOutputs(blob::Client* client,
                                                          const std::string& folder,
                                                          const agent::v1::Assignment& assignment,
                                                          int64_t step);
// Whether UploadOutputs would find anything.
bool HasOutputs(const std::string& folder);

// Where the store is now: it may have another port after every start of the scheduler, so that who
// tries again asks again. Thread-safe.
class StoreAddress {
 public:
  void Set(const std::string& address) {
    MutexLock lock(&mutex_);
    address_ = address;
  }
  // "" while no scheduler has told it.
  std::string Get() const {
    MutexLock lock(&mutex_);
    return address_;
  }

 private:
  mutable Mutex mutex_;
  std::string address_ ABSL_GUARDED_BY(mutex_);
};

// Runs `work` until it succeeds, fails for good (anything but UNAVAILABLE, DEADLINE_EXCEEDED,
// ABORTED, RESOURCE_EXHAUSTED) or `give_up` says so; waits with growing pauses in between.
absl::Status Retry(const std::function<absl::Status()>& work, const std::function<bool()>& give_up);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_PUBLISHER_H_
