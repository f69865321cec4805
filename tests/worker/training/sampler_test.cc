// The order of samples: complete, a function of seed and epoch alone, the same for all world sizes.
#include "worker/training/sampler.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::training {
namespace {

// What all ranks together train on in an epoch, in rank order within each step.
std::vector<size_t> Trained(const Sampler& sampler, uint64_t epoch, int world_size) {
  const std::vector<size_t> order = sampler.Order(epoch);
  std::vector<size_t> trained;
  for (size_t step = 0; step < sampler.steps_per_epoch(); ++step) {
    for (int rank = 0; rank < world_size; ++rank) {
      const Range range = sampler.Shard(step, rank, world_size);
      for (size_t i = range.begin; i < range.end; ++i) trained.push_back(order[i]);
    }
  }
  return trained;
}

TEST(SamplerTest, EveryWorldSizeTrainsOnTheSameOrder) {
  const Sampler sampler(1003, 64, 7);
  const std::vector<size_t> order = sampler.Order(3);
  for (const int world_size : {1, 2, 3, 4, 7, 100}) {
    EXPECT_EQ(Trained(sampler, 3, world_size), order) << world_size;
  }
}

TEST(SamplerTest, OrderIsAPermutationThatChangesWithSeedAndEpoch) {
  const Sampler sampler(500, 10, 1);
  std::vector<size_t> sorted = sampler.Order(0);
  EXPECT_FALSE(std::is_sorted(sorted.begin(), sorted.end()));
  std::sort(sorted.begin(), sorted.end());
  std::vector<size_t> all(500);
  std::iota(all.begin(), all.end(), size_t{0});
  EXPECT_EQ(sorted, all);
  EXPECT_EQ(sampler.Order(4), Sampler(500, 99, 1).Order(4)) << "batch size does not matter";
  EXPECT_NE(sampler.Order(0), sampler.Order(1));
  EXPECT_NE(sampler.Order(0), Sampler(500, 10, 2).Order(0));
}

TEST(SamplerTest, LastBatchIsTheRest) {
  const Sampler sampler(130, 64, 1);
  ASSERT_EQ(sampler.steps_per_epoch(), 3u);
  EXPECT_EQ(sampler.BatchSize(0), 64u);
  EXPECT_EQ(sampler.BatchSize(2), 2u);
  EXPECT_EQ(sampler.Shard(2, 3, 4).size(), 0u) << "more ranks than samples: some have none";
}

TEST(SamplerTest, ShardsDifferByOneAtMost) {
  for (size_t count = 0; count < 40; ++count) {
    for (int world_size = 1; world_size < 9; ++world_size) {
      size_t end = 0;
      for (int rank = 0; rank < world_size; ++rank) {
        const Range range = ShardOf(count, rank, world_size);
        EXPECT_EQ(range.begin, end);
        EXPECT_LE(range.size(), count / static_cast<size_t>(world_size) + 1);
        EXPECT_GE(range.size(), count / static_cast<size_t>(world_size));
        end = range.end;
      }
      EXPECT_EQ(end, count);
    }
  }
}

}  // namespace
}  // namespace trainyard::training
