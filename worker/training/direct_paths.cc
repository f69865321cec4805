// See direct_paths.h.
#include "worker/training/direct_paths.h"

#include <algorithm>
#include <cstring>

#include "worker/training/reduce.h"

namespace trainyard::training {
namespace {

constexpr size_t kBlockBytes = 128 << 10;  // two of them in a second-level cache

}  // namespace

absl::Status DirectPaths::PrepareScratch() {
  if (theirs_ != nullptr) return absl::OkStatus();
  auto memory = memory_.Allocate(2 * kBlockBytes);
  if (!memory.ok()) return memory.status();
  sums_ = static_cast<char*>(*memory);
  theirs_ = sums_ + kBlockBytes;
  return absl::OkStatus();
}

absl::Status DirectPaths::ReduceBlock(size_t offset, size_t bytes, const char* own, char* to,
                                      const Call& call) {
  const size_t count = bytes / SizeOf(call.type);
  if (size_ == 2) {
    absl::Status status = peers_.Read(1 - rank_, offset, theirs_, bytes);
    Combine(to, rank_ == 0 ? own : theirs_, rank_ == 0 ? theirs_ : own, count, call.type, call.op);
    return status;
  }
  for (int rank = 0; rank < size_; ++rank) {
    if (rank == rank_) {
      if (rank == 0) std::memcpy(sums_, own, bytes);
      if (rank != 0) Accumulate(sums_, own, count, call.type, call.op);
      continue;
    }
    absl::Status status = peers_.Read(rank, offset, rank == 0 ? sums_ : theirs_, bytes);
    if (!status.ok()) return status;
    if (rank != 0) Accumulate(sums_, theirs_, count, call.type, call.op);
  }
  std::memcpy(to, sums_, bytes);
  return absl::OkStatus();
}

absl::Status DirectPaths::AllReduce(char* data, const Call& call) {
  absl::Status status = PrepareScratch();
  if (!status.ok()) return status;
  peers_.Show(data);
  status = around_.meet(call);
  const size_t element = SizeOf(call.type);
  const Range mine = around_.slice(rank_, call);
  const bool alone = around_.alone();
  for (size_t at = mine.begin * element; status.ok() && at < mine.end * element;
       at += kBlockBytes) {
    const size_t bytes = std::min(kBlockBytes, mine.end * element - at);
    status = ReduceBlock(at, bytes, data + at, data + at, call);
    if (alone) Finish(data + at, bytes / element, call.type, call.op, size_);
  }
  if (status.ok() && !alone) {
    status = around_.complete(data + mine.begin * element, mine.size(), call);
  }
  if (status.ok()) status = around_.meet(call);
  for (int i = 1; status.ok() && i < size_; ++i) {
    const int rank = (rank_ + i) % size_;  // not all from the same rank at once
    const Range theirs = around_.slice(rank, call);
    status = peers_.Read(rank, theirs.begin * element, data + theirs.begin * element,
                         theirs.size() * element);
  }
  return status.ok() ? around_.meet(call) : status;
}

absl::Status DirectPaths::ReduceScatter(const char* send, char* receive, const Call& call) {
  absl::Status status = PrepareScratch();
  if (!status.ok()) return status;
  peers_.Show(send);
  status = around_.meet(call);
  const size_t bytes = call.count * SizeOf(call.type);
  const size_t first = static_cast<size_t>(rank_) * bytes;
  for (size_t at = 0; status.ok() && at < bytes; at += kBlockBytes) {
    const size_t part = std::min(kBlockBytes, bytes - at);
    status = ReduceBlock(first + at, part, send + first + at, receive + at, call);
    Finish(receive + at, part / SizeOf(call.type), call.type, call.op, size_);
  }
  return status.ok() ? around_.meet(call) : status;
}

absl::Status DirectPaths::AllGather(const char* send, char* receive, const Call& call) {
  peers_.Show(send);
  absl::Status status = around_.meet(call);
  const size_t bytes = call.count * SizeOf(call.type);
  std::memmove(receive + static_cast<size_t>(rank_) * bytes, send, bytes);
  for (int i = 1; status.ok() && i < size_; ++i) {
    const int rank = (rank_ + i) % size_;
    status = peers_.Read(rank, 0, receive + static_cast<size_t>(rank) * bytes, bytes);
  }
  return status.ok() ? around_.meet(call) : status;
}

absl::Status DirectPaths::Broadcast(char* data, const Call& call) {
  peers_.Show(data);
  absl::Status status = around_.meet(call);
  const size_t bytes = call.count * SizeOf(call.type);
  if (status.ok() && rank_ != call.root) status = peers_.Read(call.root, 0, data, bytes);
  return status.ok() ? around_.meet(call) : status;
}

}  // namespace trainyard::training
