// Collectives over private memory that copy once: each rank reads what it needs from where the
// others have it, in pieces that stay in its cache. Sums are formed in the order of ranks, as on
// the other paths. One thread at a time per rank.
#ifndef TRAINYARD_WORKER_TRAINING_DIRECT_PATHS_H_
#define TRAINYARD_WORKER_TRAINING_DIRECT_PATHS_H_

#include <cstddef>
#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "worker/training/aligned_memory.h"
#include "worker/training/gang_sync.h"
#include "worker/training/peer_memory.h"
#include "worker/training/sampler.h"

namespace trainyard::training {

class DirectPaths {
 public:
  // What the communicator around it decides.
  struct Around {
    std::function<absl::Status(const Call& call)> meet;  // how the ranks meet
    // Of an all-reduce: which elements a rank reduces, and what makes this node's reduction of them
    // that of all nodes. Called when not `alone`, by each rank once.
    std::function<Range(int rank, const Call& call)> slice;
    std::function<absl::Status(char* slice, size_t count, const Call& call)> complete;
    std::function<bool()> alone;
  };

  // `peers` are usable when a collective is called.
  DirectPaths(PeerMemory* peers, Around around, int rank, int size)
      : peers_(*peers), around_(std::move(around)), rank_(rank), size_(size) {}

  // As Communicator's. `call` says count, type, operator and root.
  absl::Status AllReduce(char* data, const Call& call);
  absl::Status ReduceScatter(const char* send, char* receive, const Call& call);
  absl::Status AllGather(const char* send, char* receive, const Call& call);
  absl::Status Broadcast(char* data, const Call& call);

 private:
  // Reduces `bytes` at `offset` of what every rank shows, but for the division of a mean, into
  // `to`, which may be this rank's own data there; `own` is this rank's data at `offset`.
  absl::Status ReduceBlock(size_t offset, size_t bytes, const char* own, char* to,
                           const Call& call);
  absl::Status PrepareScratch();

  PeerMemory& peers_;
  const Around around_;
  const int rank_;
  const int size_;
  AlignedMemory memory_;
  char* sums_ = nullptr;
  char* theirs_ = nullptr;
};

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_DIRECT_PATHS_H_
