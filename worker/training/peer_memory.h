// Reads the private memory of the other ranks of this node: by process_vm_readv between processes,
// directly between threads of one process. Whether that is allowed here (a container or the
// kernel's settings may forbid it) is tried once, together, before the first use.
// One thread at a time per rank.
#ifndef TRAINYARD_WORKER_TRAINING_PEER_MEMORY_H_
#define TRAINYARD_WORKER_TRAINING_PEER_MEMORY_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "worker/training/gang_sync.h"

namespace trainyard::training {

class PeerMemory {
 public:
  // Of one rank, in the shared region, zeroed.
  struct alignas(128) Card {
    pid_t pid;
    uint64_t probe;     // address of a word
    uint64_t expected;  // what that word holds
    uint32_t reads_all;
    uint64_t data;  // address of what the call under way is about
  };

  // `numbers`: by which people know this node's ranks; empty: their own.
  PeerMemory(Card* cards, int rank, int size, std::vector<int> numbers = {})
      : cards_(cards), rank_(rank), size_(size), numbers_(std::move(numbers)) {}

  // Collective, in front of `call`: finds out whether every rank can read every other.
  // TRAINYARD_DIRECT=0 in the environment of any rank says no.
  absl::Status Open(GangSync* sync, const Call& call);
  bool opened() const { return opened_; }
  bool usable() const { return usable_; }

  // Before a meeting: where this rank's data lies. Behind it the others may read.
  void Show(const void* data) { cards_[rank_].data = reinterpret_cast<uint64_t>(data); }
  // Copies from `offset` of what `rank` shows. UNAVAILABLE when it has gone.
  absl::Status Read(int rank, size_t offset, void* to, size_t bytes) const;

 private:
  bool ReadsAll() const;
  int NumberOf(int rank) const {
    return numbers_.empty() ? rank : numbers_[static_cast<size_t>(rank)];
  }

  Card* const cards_;
  const int rank_;
  const int size_;
  const std::vector<int> numbers_;
  bool opened_ = false;
  bool usable_ = false;
  uint64_t word_ = 0;  // the others try to read it
};

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_PEER_MEMORY_H_
