// See shared_communicator.h.
#include "worker/training/shared_communicator.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/training/hang.h"
#include "worker/training/reduce.h"
#include "worker/training/route_table.h"
#include "worker/training/shared_ranks.h"
#include "worker/training/slices.h"

namespace trainyard::training {
namespace {

constexpr size_t kSmallBytes = 1 << 10;   // up to it one meeting beats two, also in the arena
constexpr size_t kBlockBytes = 16 << 10;  // two of them fit a first-level cache
constexpr size_t kHugePage = 2 << 20;

}  // namespace

absl::Status SharedCommunicator::Reduce(void* data, size_t count, DataType type, ReduceOp op) {
  Call call = {Collective::kAllReduce, type, op, 0, count, 0};
  const size_t bytes = count * SizeOf(type);
  SetBehind(false);
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

absl::Status SharedCommunicator::Complete(void* slice, size_t count, const Call& call,
                                          int carriers) {
  Call part = call;
  part.count = count;
  // The only one who carries waits for nobody who waits for another node.
  SetBehind(carriers > 1 || rank_ != 0);
  absl::Status status = count == 0 ? absl::OkStatus() : across_.reduce(slice, count, part);
  Finish(slice, count, call.type, call.op, across_.world_size);
  return status;
}

Range SharedCommunicator::Slice(size_t count, int rank, const Call& call) const {
  const size_t element = SizeOf(call.type);
  if (alone()) return SliceOf(count, element, rank, size_);
  const int carriers = across_.carriers(call.count * element);
  return rank < carriers ? SliceOf(count, element, rank, carriers) : Range{count, count};
}

absl::Status SharedCommunicator::ReduceSmall(void* data, const Call& call) {
  const uint64_t turn = slot_turn_++ % 2;
  const size_t bytes = call.count * SizeOf(call.type);
  if (bytes > 0) std::memcpy(BuffersOf(rank_).slot[turn], data, bytes);
  if (absl::Status status = sync_.Meet(call); !status.ok()) return status;
  Combine(data, BuffersOf(0).slot[turn], BuffersOf(1).slot[turn], call.count, call.type, call.op);
  for (int rank = 2; rank < size_; ++rank) {
    Accumulate(data, BuffersOf(rank).slot[turn], call.count, call.type, call.op);
  }
  if (!alone()) return CompleteSmall(data, turn, call);
  Finish(data, call.count, call.type, call.op, size_);
  return absl::OkStatus();
}

// The first rank carries and shows the result in another slot: its own may still be read.
absl::Status SharedCommunicator::CompleteSmall(void* data, uint64_t turn, const Call& call) {
  const size_t bytes = call.count * SizeOf(call.type);
  absl::Status status = Complete(data, rank_ == 0 ? call.count : 0, call, /*carriers=*/1);
  if (rank_ == 0 && bytes > 0) std::memcpy(BuffersOf(0).out[turn], data, bytes);
  if (status.ok()) status = sync_.Meet(call);
  if (status.ok() && rank_ != 0 && bytes > 0) std::memcpy(data, BuffersOf(0).out[turn], bytes);
  return status;
}

absl::Status SharedCommunicator::ReduceInArena(char* data, size_t piece, const Call& call) {
  if (absl::Status status = sync_.Meet(call); !status.ok()) return status;
  const size_t element = SizeOf(call.type), block = kBlockBytes / element;
  char* const first = data - static_cast<size_t>(rank_) * piece;
  const auto of = [=](int rank, size_t i) {
    return first + static_cast<size_t>(rank) * piece + i * element;
  };
  if (!alone()) return ReduceInArenaAcross(first, piece, call);
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

// `first`: rank 0's data. Behind the first meeting.
absl::Status SharedCommunicator::ReduceInArenaAcross(char* first, size_t piece, const Call& call) {
  const size_t element = SizeOf(call.type), block = kBlockBytes / element;
  const Range mine = Slice(call.count, rank_, call);
  const auto of = [=](int rank, size_t i) {
    return first + static_cast<size_t>(rank) * piece + i * element;
  };
  alignas(64) char sums[kBlockBytes];
  for (size_t i = mine.begin; i < mine.end; i += block) {
    const size_t count = std::min(block, mine.end - i);
    Combine(sums, of(0, i), of(1, i), count, call.type, call.op);
    for (int rank = 2; rank < size_; ++rank) {
      Accumulate(sums, of(rank, i), count, call.type, call.op);
    }
    std::memcpy(of(rank_, i), sums, count * element);
  }
  char* const own = of(rank_, mine.begin);
  const size_t each = across_.direct ? std::max<size_t>(mine.size(), 1) : kStageBytes / element;
  const int carriers = across_.carriers(call.count * element);
  absl::Status status = Complete(own, std::min(each, mine.size()), call, carriers);
  for (size_t i = each; status.ok() && i < mine.size(); i += each) {
    status = Complete(own + i * element, std::min(each, mine.size() - i), call, carriers);
  }
  for (int rank = 0; status.ok() && rank < size_; ++rank) {
    if (rank != rank_) std::memcpy(of(rank, mine.begin), own, mine.size() * element);
  }
  return status.ok() ? sync_.Meet(call) : status;
}

// Copies what the other ranks will reduce into this rank's next buffer.
void SharedCommunicator::Stage(const char* data, Range chunk, const Call& call) {
  const size_t element = SizeOf(call.type);
  char* const in = BuffersOf(rank_).in[stage_turn_++ % 2];
  for (int rank = 0; rank < size_; ++rank) {
    if (rank == rank_) continue;
    const Range slice = Slice(chunk.size(), rank, call);
    std::memcpy(in + slice.begin * element, data + (chunk.begin + slice.begin) * element,
                slice.size() * element);
  }
}

absl::Status SharedCommunicator::ReduceStage(char* data, Range chunk, uint64_t turn,
                                             const Call& call) {
  const size_t element = SizeOf(call.type), block = kBlockBytes / element;
  const Range slice = Slice(chunk.size(), rank_, call);
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
    if (!alone()) continue;
    Finish(sums, count, call.type, call.op, size_);
    std::memcpy(own, sums, count * element);
  }
  if (alone()) return absl::OkStatus();
  char* const sums = out + slice.begin * element;
  absl::Status status = Complete(sums, slice.size(), call, across_.carriers(call.count * element));
  std::memcpy(data + (chunk.begin + slice.begin) * element, sums, slice.size() * element);
  return status;
}

void SharedCommunicator::CopyResults(char* data, Range chunk, uint64_t turn, const Call& call) {
  const size_t element = SizeOf(call.type);
  for (int i = 1; i < size_; ++i) {
    const int rank = (rank_ + i) % size_;  // not all from the same rank at once
    const Range slice = Slice(chunk.size(), rank, call);
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
  Stage(data, chunk(0), call);
  if (absl::Status status = Meet(call); !status.ok()) return status;
  for (size_t begin = 0; begin < call.count; begin += each) {
    if (absl::Status status = ReduceStage(data, chunk(begin), turn, call); !status.ok()) {
      return status;
    }
    // The next chunk is staged before the meeting that shows this one's results.
    if (begin + each < call.count) Stage(data, chunk(begin + each), call);
    if (absl::Status status = Meet(call); !status.ok()) return status;
    CopyResults(data, chunk(begin), turn, call);
    turn = 1 - turn;
  }
  return absl::OkStatus();
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
  SetBehind(false);
  const size_t unit = bytes >= kHugePage ? kHugePage : kPage;
  const Piece piece = {RoundUp(arena_, unit), RoundUp(std::max<size_t>(bytes, 1), unit)};
  const size_t ranks = static_cast<size_t>(size_);
  if (piece.bytes > (SharedRegion::bytes_max() - piece.offset) / ranks) {
    return absl::ResourceExhaustedError(absl::StrCat("no room for ", bytes, " shared bytes"));
  }
  // Each rank touches its own part first: it lies near its cores.
  const size_t mine = piece.offset + static_cast<size_t>(rank_) * piece.bytes;
  madvise(region_->base() + piece.offset, ranks * piece.bytes, MADV_HUGEPAGE);
  absl::Status status = region_->Reserve(mine, piece.bytes);
  // Who has none says so: nobody waits for it, and all go on without this memory.
  const uint64_t turn = slot_turn_++ % 2;
  BuffersOf(rank_).slot[turn][0] = status.ok() ? 1 : 0;
  const absl::Status met =
      sync_.Meet({Collective::kAllocate, DataType::kFloat32, ReduceOp::kSum, 0, bytes, 0});
  if (!met.ok() || !status.ok()) return met.ok() ? status : met;
  for (int rank = 0; rank < size_; ++rank) {
    if (BuffersOf(rank).slot[turn][0] != 0) continue;
    return absl::ResourceExhaustedError(
        absl::StrCat("rank ", rank, " of this node has no memory for ", bytes, " shared bytes"));
  }
#ifdef MADV_POPULATE_WRITE
  // Without it the first reduction would pay for the page faults.
  madvise(region_->base() + piece.offset, ranks * piece.bytes, MADV_POPULATE_WRITE);
#endif
  arena_ = piece.offset + ranks * piece.bytes;
  pieces_.push_back(piece);
  return region_->base() + mine;
}

absl::StatusOr<std::unique_ptr<NodeCommunicator>> CreateNodeCommunicator(const std::string& name,
                                                                         int local_rank,
                                                                         std::vector<int> numbers) {
  const int size = static_cast<int>(numbers.size());
  auto region = SharedRegion::Join(name, local_rank, size, absl::Minutes(5));
  if (!region.ok()) return region.status();
  return std::make_unique<SharedCommunicator>(*std::move(region), local_rank, size,
                                              std::move(numbers), PathsFile(NodeName(), size));
}

absl::StatusOr<std::unique_ptr<Communicator>> CreateSharedCommunicator(const RankContext& context) {
  std::vector<int> numbers;
  for (int i = 0; i < context.local_world_size; ++i) {
    numbers.push_back(context.rank - context.local_rank + i);
  }
  auto ranks = CreateNodeCommunicator(context.gang, context.local_rank, std::move(numbers));
  if (!ranks.ok()) return ranks.status();
  return *std::move(ranks);
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
