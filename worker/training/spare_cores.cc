// See spare_cores.h.
#include "worker/training/spare_cores.h"

#include <sched.h>

#include <algorithm>
#include <bit>
#include <vector>

namespace trainyard::training {
namespace {

int CountOf(const CoreMask& mask) {
  int count = 0;
  for (const int64_t word : mask) count += std::popcount(static_cast<uint64_t>(word));
  return count;
}

}  // namespace

CoreMask CoresOfThread() {
  CoreMask cores = {};
  cpu_set_t set;
  const bool known = sched_getaffinity(0, sizeof(set), &set) == 0;
  for (size_t core = 0; core < 64 * cores.size(); ++core) {
    if (known && !CPU_ISSET(core, &set)) continue;
    cores[core / 64] |= static_cast<int64_t>(uint64_t{1} << core % 64);
  }
  return cores;
}

absl::StatusOr<bool> EveryRankHasSpareCore(const CoreMask& mine, int local_rank, int local_ranks,
                                           Communicator* communicator) {
  std::vector<CoreMask> all(static_cast<size_t>(communicator->size()));
  absl::Status status =
      communicator->AllGather(mine.data(), all.data(), mine.size(), DataType::kInt64);
  if (!status.ok()) return status;
  const int first = communicator->rank() - local_rank;
  CoreMask node = {};
  for (int rank = first; rank < first + local_ranks; ++rank) {
    if (rank < 0 || rank >= communicator->size()) continue;
    const CoreMask& other = all[static_cast<size_t>(rank)];
    for (size_t i = 0; i < node.size(); ++i) node[i] |= other[i];
  }
  int32_t spare = CountOf(mine) >= 2 && CountOf(node) >= 2 * local_ranks ? 1 : 0;
  status = communicator->AllReduce(&spare, 1, DataType::kInt32, ReduceOp::kMin);
  if (!status.ok()) return status;
  return spare != 0;
}

}  // namespace trainyard::training
