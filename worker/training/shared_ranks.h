// The class behind shared_communicator.h, for its two files: shared_communicator.cc reduces,
// shared_moves.cc scatters, gathers and broadcasts.
#ifndef TRAINYARD_WORKER_TRAINING_SHARED_RANKS_H_
#define TRAINYARD_WORKER_TRAINING_SHARED_RANKS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "worker/training/async_queue.h"
#include "worker/training/direct_paths.h"
#include "worker/training/gang_sync.h"
#include "worker/training/path_choice.h"
#include "worker/training/peer_memory.h"
#include "worker/training/sampler.h"
#include "worker/training/shared_communicator.h"
#include "worker/training/shared_region.h"

namespace trainyard::training {

inline constexpr size_t kSlotBytes = 4 << 10;
inline constexpr size_t kStageBytes = Across::kPortionBytes;
inline constexpr size_t kDirectBytes = 8 << 10;  // below it reading from a peer cannot pay
inline constexpr size_t kSaidBytes = 384;
static_assert(sizeof(PathChoice::Said) <= kSaidBytes);
inline constexpr size_t kPage = 4096;
// More than a carrier's own extra patience (node_bridge.cc); both within a second.
inline constexpr absl::Duration kBehind = absl::Milliseconds(800);

inline size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// What belongs to one rank beside its seat. [2]: used in turn, so that one meeting a piece is
// enough: a buffer is written again only after the meeting that follows its last reading.
struct Buffers {
  char slot[2][kSlotBytes];
  char in[2][kStageBytes];
  char out[2][kStageBytes];
};

class SharedCommunicator : public NodeCommunicator {
 public:
  SharedCommunicator(std::shared_ptr<SharedRegion> region, int rank, int size,
                     std::vector<int> numbers = {}, std::string paths_file = "")
      : region_(std::move(region)),
        rank_(rank),
        size_(size),
        sync_(region_.get(), rank, size, numbers),
        choice_(At<PathChoice::Said>(GangSync::BytesFor(size)), rank == 0, std::move(paths_file)),
        peers_(At<PeerMemory::Card>(GangSync::BytesFor(size) + kSaidBytes), rank, size,
               std::move(numbers)),
        direct_(&peers_,
                {[this](const Call& call) { return Meet(call); },
                 [this](int of, const Call& call) { return Slice(call.count, of, call); },
                 [this](char* slice, size_t count, const Call& call) {
                   return Complete(slice, count, call,
                                   across_.carriers(call.count * SizeOf(call.type)));
                 },
                 [this] { return alone(); }},
                rank, size) {
    const size_t cards = static_cast<size_t>(size) * sizeof(PeerMemory::Card);
    buffers_ = RoundUp(GangSync::BytesFor(size) + kSaidBytes + cards, kPage);
    arena_ = buffers_ + RoundUp(sizeof(Buffers), kPage) * static_cast<size_t>(size);
    arena_begin_ = arena_;
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string name() const override { return "shared"; }

  absl::Status AllReduce(void* data, size_t count, DataType type, ReduceOp op) override {
    Drain();
    return Reduce(data, count, type, op);
  }

  absl::StatusOr<std::unique_ptr<Pending>> StartAllReduce(void* data, size_t count, DataType type,
                                                          ReduceOp op) override {
    started_ = true;
    return queue_.Start([=, this] {
      SetBackground(true);
      absl::Status status = Reduce(data, count, type, op);
      SetBackground(false);
      return status;
    });
  }

  absl::Status ReduceScatter(const void* send, void* receive, size_t count, DataType type,
                             ReduceOp op) override;
  absl::Status AllGather(const void* send, void* receive, size_t count, DataType type) override;
  absl::Status Broadcast(void* data, size_t count, DataType type, int root) override;

  absl::Status Barrier() override {
    Drain();
    return sync_.Meet({});
  }

  absl::StatusOr<void*> Allocate(size_t bytes) override;

  void SetAcross(Across across) override { across_ = std::move(across); }
  void SetBehind(bool behind) override {
    sync_.set_extra_patience(behind ? kBehind : absl::ZeroDuration());
  }
  absl::StatusOr<bool> CanRead() override {
    if (!peers_.opened()) {
      if (absl::Status status = peers_.Open(&sync_, {}); !status.ok()) return status;
    }
    return peers_.usable();
  }
  void Drain() override {
    if (started_) queue_.Drain();
  }

 private:
  Buffers& BuffersOf(int rank) const {
    const size_t each = RoundUp(sizeof(Buffers), kPage);
    return *reinterpret_cast<Buffers*>(region_->base() + buffers_ +
                                       static_cast<size_t>(rank) * each);
  }

  template <typename T>
  T* At(size_t offset) {
    return reinterpret_cast<T*>(region_->base() + offset);
  }
  // Meetings of the calls that have two paths.
  absl::Status Meet(const Call& call) { return choice_.Meet(&sync_, call); }
  // Runs `direct` or `staged`, whichever is this call's way.
  template <typename Direct, typename Staged>
  absl::Status OnPath(const Call& call, size_t bytes, const Direct& direct, const Staged& staged);

  void SetBackground(bool background) {
    sync_.set_background(background);
    if (across_.background != nullptr) across_.background(background);
  }
  absl::Status Reduce(void* data, size_t count, DataType type, ReduceOp op);
  // With other nodes: makes this node's reduction of a slice the whole one. Every rank calls it
  // once a call or chunk, those that carry nothing with 0 elements; the first `carriers` carry.
  absl::Status Complete(void* slice, size_t count, const Call& call, int carriers);
  // Which part of `count` elements `rank` reduces, in a call over `call.count` of them.
  Range Slice(size_t count, int rank, const Call& call) const;
  bool alone() const { return across_.reduce == nullptr; }
  absl::Status ReduceSmall(void* data, const Call& call);
  absl::Status CompleteSmall(void* data, uint64_t turn, const Call& call);
  absl::Status ReduceInArena(char* data, size_t piece, const Call& call);
  absl::Status ReduceStaged(char* data, const Call& call);
  absl::Status ReduceScatterStaged(const char* send, char* receive, const Call& call);
  absl::Status AllGatherStaged(const char* send, char* receive, const Call& call);
  absl::Status BroadcastStaged(char* data, const Call& call);
  absl::Status ReduceInArenaAcross(char* first, size_t piece, const Call& call);
  void Stage(const char* data, Range chunk, const Call& call);
  absl::Status ReduceStage(char* data, Range chunk, uint64_t turn, const Call& call);
  void CopyResults(char* data, Range chunk, uint64_t turn, const Call& call);
  // The start of the piece that `data` lies in and its size per rank; 0 when in no arena.
  size_t PieceOf(const char* data, size_t bytes) const;

  struct Piece {
    size_t offset = 0;  // of rank 0's part in the region
    size_t bytes = 0;   // of each rank's part
  };

  const std::shared_ptr<SharedRegion> region_;
  const int rank_;
  const int size_;
  GangSync sync_;
  PathChoice choice_;
  PeerMemory peers_;
  DirectPaths direct_;
  size_t buffers_ = 0;
  size_t arena_begin_ = 0;
  size_t arena_ = 0;  // end of what was handed out
  std::vector<Piece> pieces_;
  uint64_t slot_turn_ = 0;
  uint64_t stage_turn_ = 0;
  bool started_ = false;
  bool recalled_ = false;  // choice_ knows what rank 0 remembers
  Across across_;
  AsyncQueue queue_;  // last: its thread uses all of the above
};

template <typename Direct, typename Staged>
absl::Status SharedCommunicator::OnPath(const Call& call, size_t bytes, const Direct& direct,
                                        const Staged& staged) {
  if (bytes < kDirectBytes) return staged();
  // All nodes must take the same way; they agreed on it.
  if (!alone() && call.collective == Collective::kAllReduce) {
    return across_.direct ? direct() : staged();
  }
  if (!peers_.opened()) {
    if (absl::Status status = peers_.Open(&sync_, call); !status.ok()) return status;
  }
  if (!recalled_) choice_.Recall();
  recalled_ = true;
  if (!peers_.usable()) return staged();
  const Path path = choice_.Take(call.collective, bytes);
  const absl::Status status = path == Path::kDirect ? direct() : staged();
  choice_.Done();
  return status;
}

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_SHARED_RANKS_H_
