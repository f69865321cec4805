// Whether gradients are reduced beside the backward pass: one answer for all ranks, whatever each
// node has.
#include "worker/training/spare_cores.h"

#include <sched.h>

#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "worker/training/shared_communicator.h"

namespace trainyard::training {
namespace {

CoreMask Cores(int begin, int end) {
  CoreMask mask = {};
  for (int core = begin; core < end; ++core) {
    mask[static_cast<size_t>(core) / 64] |= static_cast<int64_t>(uint64_t{1} << core % 64);
  }
  return mask;
}

struct Row {
  std::string name;
  int local_ranks;
  std::vector<CoreMask> cores;  // of each rank
  bool spare;
};

TEST(SpareCoresTest, AllRanksGetOneAnswer) {
  const Row rows[] = {
      {"a node with few cores decides for all", 1, {Cores(0, 8), Cores(0, 1)}, false},
      {"two nodes with enough", 1, {Cores(0, 2), Cores(0, 16)}, true},
      {"bound to one core each", 2, {Cores(0, 1), Cores(1, 2)}, false},
      {"bound to two cores each", 2, {Cores(0, 2), Cores(2, 4)}, true},
      {"not bound, enough", 2, {Cores(0, 4), Cores(0, 4)}, true},
      {"not bound, too few", 2, {Cores(0, 3), Cores(0, 3)}, false},
      {"one has a single core beside many", 2, {Cores(0, 1), Cores(1, 9)}, false},
      {"beyond the first word", 2, {Cores(100, 102), Cores(1000, 1002)}, true},
      {"the second of two nodes is crowded",
       2,
       {Cores(0, 8), Cores(0, 8), Cores(0, 2), Cores(0, 2)},
       false},
  };
  for (const Row& row : rows) {
    const int size = static_cast<int>(row.cores.size());
    auto made = CreateSharedCommunicators(size);
    ASSERT_TRUE(made.ok());
    std::vector<int> answers(row.cores.size(), -1);
    std::vector<std::thread> ranks;
    for (int rank = 0; rank < size; ++rank) {
      ranks.emplace_back([&, rank] {
        const auto at = static_cast<size_t>(rank);
        auto spare = EveryRankHasSpareCore(row.cores[at], rank % row.local_ranks, row.local_ranks,
                                           (*made)[at].get());
        if (spare.ok()) answers[at] = *spare ? 1 : 0;
      });
    }
    for (std::thread& rank : ranks) rank.join();
    EXPECT_EQ(answers, std::vector<int>(row.cores.size(), row.spare ? 1 : 0)) << row.name;
  }
}

TEST(SpareCoresTest, WhatAThreadIsBoundToCounts) {
  std::thread bound([] {
    cpu_set_t before;
    ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
    int core = 0;
    while (!CPU_ISSET(core, &before)) ++core;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    EXPECT_EQ(CoresOfThread(), Cores(core, core + 1));
  });
  bound.join();
}

}  // namespace
}  // namespace trainyard::training
