// See shared_communicator.h.
#include "worker/training/shared_communicator.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/training/async_queue.h"
#include "worker/training/direct_paths.h"
#include "worker/training/gang_sync.h"
#include "worker/training/path_choice.h"
#include "worker/training/peer_memory.h"
#include "worker/training/reduce.h"
#include "worker/training/shared_region.h"
#include "worker/training/slices.h"

namespace trainyard::training {
namespace {

constexpr size_t kSmallBytes = 1 << 10;  // up to it one meeting beats two, also in the arena
constexpr size_t kSlotBytes = 4 << 10;
constexpr size_t kStageBytes = 512 << 10;
constexpr size_t kBlockBytes = 16 << 10;  // two of them fit a first-level cache
constexpr size_t kDirectBytes = 8 << 10;  // below it reading from a peer cannot pay
constexpr size_t kSaidBytes = 128;
constexpr size_t kPage = 4096;
constexpr size_t kHugePage = 2 << 20;

size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// What belongs to one rank beside its seat. [2]: used in turn, so that one meeting a piece is
// enough: a buffer is written again only after the meeting that follows its last reading.
struct Buffers {
  char slot[2][kSlotBytes];
  char in[2][kStageBytes];
  char out[2][kStageBytes];
};

class SharedCommunicator : public Communicator {
 public:
  SharedCommunicator(std::shared_ptr<SharedRegion> region, int rank, int size, int first = 0)
      : region_(std::move(region)),
        rank_(rank),
        size_(size),
        sync_(region_.get(), rank, size, first),
        choice_(At<PathChoice::Said>(GangSync::BytesFor(size)), rank == 0),
        peers_(At<PeerMemory::Card>(GangSync::BytesFor(size) + kSaidBytes), rank, size),
        direct_(
            &peers_, [this](const Call& call) { return Meet(call); }, rank, size) {
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
      sync_.set_background(true);
      absl::Status status = Reduce(data, count, type, op);
      sync_.set_background(false);
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

 private:
  void Drain() {
    if (started_) queue_.Drain();
  }
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

  absl::Status Reduce(void* data, size_t count, DataType type, ReduceOp op);
  absl::Status ReduceSmall(void* data, const Call& call);
  absl::Status ReduceInArena(char* data, size_t piece, const Call& call);
  absl::Status ReduceStaged(char* data, const Call& call);
  absl::Status ReduceScatterStaged(const char* send, char* receive, const Call& call);
  absl::Status AllGatherStaged(const char* send, char* receive, const Call& call);
  absl::Status BroadcastStaged(char* data, const Call& call);
  void Stage(const char* data, Range chunk, size_t element);
  void ReduceStage(char* data, Range chunk, uint64_t turn, const Call& call);
  void CopyResults(char* data, Range chunk, uint64_t turn, size_t element);
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
  AsyncQueue queue_;  // last: its thread uses all of the above
};

absl::Status SharedCommunicator::Reduce(void* data, size_t count, DataType type, ReduceOp op) {
  Call call = {Collective::kAllReduce, type, op, 0, count, 0};
  const size_t bytes = count * SizeOf(type);
  if (bytes <= kSmallBytes) return ReduceSmall(data, call);
  char* const start = static_cast<char*>(data);
  const size_t piece = PieceOf(start, bytes);
  if (piece == 0) {
    if (bytes <= kSlotBytes) return ReduceSmall(data, call);
    return OnPath(
        call, bytes, [&] { return direct_.AllReduce(start, call); },
        [&] { return ReduceStaged(start, call); });
  }
  const size_t mine = static_cast<size_t>(start - region_->base());
  call.place = mine - static_cast<size_t>(rank_) * piece + 1;
  return ReduceInArena(start, piece, call);
}

absl::Status SharedCommunicator::ReduceSmall(void* data, const Call& call) {
  const uint64_t turn = slot_turn_++ % 2;
  const size_t bytes = call.count * SizeOf(call.type);
  std::memcpy(BuffersOf(rank_).slot[turn], data, bytes);
  if (absl::Status status = sync_.Meet(call); !status.ok()) return status;
  Combine(data, BuffersOf(0).slot[turn], BuffersOf(1).slot[turn], call.count, call.type, call.op);
  for (int rank = 2; rank < size_; ++rank) {
    Accumulate(data, BuffersOf(rank).slot[turn], call.count, call.type, call.op);
  }
  Finish(data, call.count, call.type, call.op, size_);
  return absl::OkStatus();
}

absl::Status SharedCommunicator::ReduceInArena(char* data, size_t piece, const Call& call) {
  if (absl::Status status = sync_.Meet(call); !status.ok()) return status;
  const size_t element = SizeOf(call.type), block = kBlockBytes / element;
  char* const first = data - static_cast<size_t>(rank_) * piece;
  const auto of = [=](int rank, size_t i) {
    return first + static_cast<size_t>(rank) * piece + i * element;
  };
  alignas(64) char sums[kBlockBytes];
  const Range mine = SliceOf(call.count, element, rank_, size_);
  for (size_t i = mine.begin; i < mine.end; i += block) {
    const size_t count = std::min(block, mine.end - i);
    if (size_ == 2) {  // no third place for the sums is needed
      CombineIntoBoth(of(0, i), of(1, i), count, call.type, call.op);
      continue;
    }
    Combine(sums, of(0, i), of(1, i), count, call.type, call.op);
    for (int rank = 2; rank < size_; ++rank) {
      Accumulate(sums, of(rank, i), count, call.type, call.op);
    }
    Finish(sums, count, call.type, call.op, size_);
    for (int rank = 0; rank < size_; ++rank) {
      std::memcpy(of(rank, i), sums, count * element);
    }
  }
  return sync_.Meet(call);
}

// Copies what the other ranks will reduce into this rank's next buffer.
void SharedCommunicator::Stage(const char* data, Range chunk, size_t element) {
  char* const in = BuffersOf(rank_).in[stage_turn_++ % 2];
  for (int rank = 0; rank < size_; ++rank) {
    if (rank == rank_) continue;
    const Range slice = SliceOf(chunk.size(), element, rank, size_);
    std::memcpy(in + slice.begin * element, data + (chunk.begin + slice.begin) * element,
                slice.size() * element);
  }
}

void SharedCommunicator::ReduceStage(char* data, Range chunk, uint64_t turn, const Call& call) {
  const size_t element = SizeOf(call.type), block = kBlockBytes / element;
  const Range slice = SliceOf(chunk.size(), element, rank_, size_);
  char* const out = BuffersOf(rank_).out[turn];
  for (size_t i = slice.begin; i < slice.end; i += block) {
    const size_t count = std::min(block, slice.end - i);
    char* const own = data + (chunk.begin + i) * element;
    const auto of = [&](int rank) {
      return rank == rank_ ? own : BuffersOf(rank).in[turn] + i * element;
    };
    char* const sums = out + i * element;
    Combine(sums, of(0), of(1), count, call.type, call.op);
    for (int rank = 2; rank < size_; ++rank) {
      Accumulate(sums, of(rank), count, call.type, call.op);
    }
    Finish(sums, count, call.type, call.op, size_);
    std::memcpy(own, sums, count * element);
  }
}

void SharedCommunicator::CopyResults(char* data, Range chunk, uint64_t turn, size_t element) {
  for (int i = 1; i < size_; ++i) {
    const int rank = (rank_ + i) % size_;  // not all from the same rank at once
    const Range slice = SliceOf(chunk.size(), element, rank, size_);
    std::memcpy(data + (chunk.begin + slice.begin) * element,
                BuffersOf(rank).out[turn] + slice.begin * element, slice.size() * element);
  }
}

absl::Status SharedCommunicator::ReduceStaged(char* data, const Call& call) {
  const size_t element = SizeOf(call.type), each = kStageBytes / element;
  const auto chunk = [&](size_t begin) {
    return Range{begin, std::min(begin + each, static_cast<size_t>(call.count))};
  };
  uint64_t turn = stage_turn_ % 2;
  Stage(data, chunk(0), element);
  if (absl::Status status = Meet(call); !status.ok()) return status;
  for (size_t begin = 0; begin < call.count; begin += each) {
    ReduceStage(data, chunk(begin), turn, call);
    // The next chunk is staged before the meeting that shows this one's results.
    if (begin + each < call.count) Stage(data, chunk(begin + each), element);
    if (absl::Status status = Meet(call); !status.ok()) return status;
    CopyResults(data, chunk(begin), turn, element);
    turn = 1 - turn;
  }
  return absl::OkStatus();
}

absl::Status SharedCommunicator::ReduceScatter(const void* send, void* receive, size_t count,
                                               DataType type, ReduceOp op) {
  Drain();
  const Call call = {Collective::kReduceScatter, type, op, 0, count, 0};
  const char* const from = static_cast<const char*>(send);
  char* const to = static_cast<char*>(receive);
  return OnPath(
      call, count * SizeOf(type), [&] { return direct_.ReduceScatter(from, to, call); },
      [&] { return ReduceScatterStaged(from, to, call); });
}

absl::Status SharedCommunicator::ReduceScatterStaged(const char* send, char* receive,
                                                     const Call& call) {
  const size_t element = SizeOf(call.type), ranks = static_cast<size_t>(size_);
  const size_t each = std::max<size_t>(1, kStageBytes / element / ranks);
  for (size_t begin = 0; begin < call.count; begin += each) {
    const size_t part = std::min(each, call.count - begin);
    const uint64_t turn = stage_turn_++ % 2;
    for (size_t rank = 0; rank < ranks; ++rank) {
      std::memcpy(BuffersOf(rank_).in[turn] + rank * part * element,
                  send + (rank * call.count + begin) * element, part * element);
    }
    if (absl::Status status = Meet(call); !status.ok()) return status;
    char* const to = receive + begin * element;
    const size_t mine = static_cast<size_t>(rank_) * part * element;
    std::memcpy(to, BuffersOf(0).in[turn] + mine, part * element);
    for (int rank = 1; rank < size_; ++rank) {
      Accumulate(to, BuffersOf(rank).in[turn] + mine, part, call.type, call.op);
    }
    Finish(to, part, call.type, call.op, size_);
  }
  return absl::OkStatus();
}

absl::Status SharedCommunicator::AllGather(const void* send, void* receive, size_t count,
                                           DataType type) {
  Drain();
  const Call call = {Collective::kAllGather, type, ReduceOp::kSum, 0, count, 0};
  const char* const from = static_cast<const char*>(send);
  char* const to = static_cast<char*>(receive);
  return OnPath(
      call, count * SizeOf(type), [&] { return direct_.AllGather(from, to, call); },
      [&] { return AllGatherStaged(from, to, call); });
}

absl::Status SharedCommunicator::AllGatherStaged(const char* send, char* receive,
                                                 const Call& call) {
  const size_t bytes = call.count * SizeOf(call.type);
  for (size_t begin = 0; begin < bytes; begin += kStageBytes) {
    const size_t part = std::min(kStageBytes, bytes - begin);
    const uint64_t turn = stage_turn_++ % 2;
    std::memcpy(BuffersOf(rank_).in[turn], send + begin, part);
    if (absl::Status status = Meet(call); !status.ok()) return status;
    for (int rank = 0; rank < size_; ++rank) {
      std::memcpy(receive + static_cast<size_t>(rank) * bytes + begin, BuffersOf(rank).in[turn],
                  part);
    }
  }
  return absl::OkStatus();
}

absl::Status SharedCommunicator::Broadcast(void* data, size_t count, DataType type, int root) {
  Drain();
  const Call call = {Collective::kBroadcast, type, ReduceOp::kSum, root, count, 0};
  char* const at = static_cast<char*>(data);
  return OnPath(
      call, count * SizeOf(type), [&] { return direct_.Broadcast(at, call); },
      [&] { return BroadcastStaged(at, call); });
}

absl::Status SharedCommunicator::BroadcastStaged(char* data, const Call& call) {
  const size_t bytes = call.count * SizeOf(call.type);
  for (size_t begin = 0; begin < bytes; begin += kStageBytes) {
    const size_t part = std::min(kStageBytes, bytes - begin);
    const uint64_t turn = stage_turn_++ % 2;
    char* const at = data + begin;
    if (rank_ == call.root) std::memcpy(BuffersOf(rank_).in[turn], at, part);
    if (absl::Status status = Meet(call); !status.ok()) return status;
    if (rank_ != call.root) std::memcpy(at, BuffersOf(call.root).in[turn], part);
  }
  return absl::OkStatus();
}

template <typename Direct, typename Staged>
absl::Status SharedCommunicator::OnPath(const Call& call, size_t bytes, const Direct& direct,
                                        const Staged& staged) {
  if (bytes < kDirectBytes) return staged();
  if (!peers_.opened()) {
    if (absl::Status status = peers_.Open(&sync_, call); !status.ok()) return status;
  }
  if (!peers_.usable()) return staged();
  const Path path = choice_.Take(call.collective, bytes);
  const absl::Status status = path == Path::kDirect ? direct() : staged();
  choice_.Done();
  return status;
}

size_t SharedCommunicator::PieceOf(const char* data, size_t bytes) const {
  if (data < region_->base() || data >= region_->base() + arena_) return 0;
  const size_t offset = static_cast<size_t>(data - region_->base());
  for (const Piece& piece : pieces_) {
    const size_t begin = piece.offset + static_cast<size_t>(rank_) * piece.bytes;
    if (offset >= begin && offset + bytes <= begin + piece.bytes) return piece.bytes;
  }
  return 0;
}

absl::StatusOr<void*> SharedCommunicator::Allocate(size_t bytes) {
  Drain();
  const size_t unit = bytes >= kHugePage ? kHugePage : kPage;
  const Piece piece = {RoundUp(arena_, unit), RoundUp(std::max<size_t>(bytes, 1), unit)};
  const size_t ranks = static_cast<size_t>(size_);
  if (piece.bytes > (SharedRegion::bytes_max() - piece.offset) / ranks) {
    return absl::ResourceExhaustedError(absl::StrCat("no room for ", bytes, " shared bytes"));
  }
  // Each rank touches its own part first: it lies near its cores.
  const size_t mine = piece.offset + static_cast<size_t>(rank_) * piece.bytes;
  madvise(region_->base() + piece.offset, ranks * piece.bytes, MADV_HUGEPAGE);
  if (absl::Status status = region_->Reserve(mine, piece.bytes); !status.ok()) return status;
  absl::Status status =
      sync_.Meet({Collective::kAllocate, DataType::kFloat32, ReduceOp::kSum, 0, bytes, 0});
  if (!status.ok()) return status;
#ifdef MADV_POPULATE_WRITE
  // Without it the first reduction would pay for the page faults.
  madvise(region_->base() + piece.offset, ranks * piece.bytes, MADV_POPULATE_WRITE);
#endif
  arena_ = piece.offset + ranks * piece.bytes;
  pieces_.push_back(piece);
  return region_->base() + mine;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> CreateSharedCommunicator(const RankContext& context) {
  auto region = SharedRegion::Join(context.gang, context.local_rank, context.local_world_size,
                                   absl::Minutes(5));
  if (!region.ok()) return region.status();
  return std::make_unique<SharedCommunicator>(*std::move(region), context.local_rank,
                                              context.local_world_size,
                                              context.rank - context.local_rank);
}

absl::StatusOr<std::vector<std::unique_ptr<Communicator>>> CreateSharedCommunicators(int size) {
  auto region = SharedRegion::Alone();
  if (!region.ok()) return region.status();
  const std::shared_ptr<SharedRegion> shared = *std::move(region);
  std::vector<std::unique_ptr<Communicator>> ranks;
  if (size == 1) {
    ranks.push_back(CreateSingleCommunicator());
    return ranks;
  }
  for (int rank = 0; rank < size; ++rank) {
    ranks.push_back(std::make_unique<SharedCommunicator>(shared, rank, size));
  }
  return ranks;
}

}  // namespace trainyard::training
