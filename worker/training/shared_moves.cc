// See shared_ranks.h: the calls of one node's ranks that scatter, gather and broadcast.
#include <algorithm>
#include <cstring>

#include "common/errors.h"
#include "worker/training/reduce.h"
#include "worker/training/shared_ranks.h"

namespace trainyard::training {

absl::Status SharedCommunicator::ReduceScatter(const void* send, void* receive, size_t count,
                                               DataType type, ReduceOp op) {
  Drain();
  const Call call = {Collective::kReduceScatter, type, op, 0, count, 0};
  const char* const from = static_cast<const char*>(send);
  char* const to = static_cast<char*>(receive);
  // Others read their blocks of `send` while this rank writes its result.
  const size_t bytes = count * SizeOf(type);
  const bool apart = to + bytes <= from || from + bytes * static_cast<size_t>(size_) <= to;
  if (bytes > 0 && !apart && to != from + bytes * static_cast<size_t>(rank_)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "INVALID_ARGUMENT",
                     "reduce-scatter: receive overlaps the blocks of other ranks in send",
                     "receive elsewhere, or into this rank's block of send");
  }
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
  if (absl::Status status = CheckRoot(root, size_); !status.ok()) return status;
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

}  // namespace trainyard::training
