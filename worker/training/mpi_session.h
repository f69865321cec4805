// MPI in this process: begun by whoever needs it first, ended with the last communicator. A program
// that has begun MPI itself (mpi4py, say) keeps it: then nothing is begun or ended here.
#ifndef TRAINYARD_WORKER_TRAINING_MPI_SESSION_H_
#define TRAINYARD_WORKER_TRAINING_MPI_SESSION_H_

#include <atomic>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/training/rank_context.h"

namespace trainyard::training {

class MpiSession {
 public:
  // `waits_inside`: the caller waits for peers inside MPI's calls, which then yield the core to
  // others' work; else as mpirun decides. FAILED_PRECONDITION when MPI does not know as many ranks
  // as `context` says.
  static absl::StatusOr<std::unique_ptr<MpiSession>> Begin(const RankContext& context,
                                                           bool waits_inside);
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  // A call has failed: the end must not wait for peers that will not come.
  void MarkBroken() { broken_ = true; }

 private:
  explicit MpiSession(bool ours) : ours_(ours) {}
  const bool ours_;
  std::atomic<bool> broken_ = false;
};

// UNAVAILABLE "<what> failed: <MPI's text>" unless `code` is MPI_SUCCESS.
absl::Status MpiStatus(int code, absl::string_view what);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_MPI_SESSION_H_
