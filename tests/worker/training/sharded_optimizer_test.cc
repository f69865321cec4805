// Sharing out the optimiser's state changes nothing: threads as ranks against one optimiser alone,
// bit for bit, also after collecting and restoring with another number of ranks.
#include "worker/training/sharded_optimizer.h"

#include <functional>
#include <thread>

#include "common/random.h"
#include "gtest/gtest.h"
#include "worker/training/shared_communicator.h"

namespace trainyard::training {
namespace {

void InThreads(int size, const std::function<void(Communicator*)>& body) {
  auto ranks = CreateSharedCommunicators(size);
  ASSERT_TRUE(ranks.ok());
  std::vector<std::thread> threads;
  for (auto& rank : *ranks) threads.emplace_back([&body, &rank] { body(rank.get()); });
  for (std::thread& thread : threads) thread.join();
}

std::vector<float> Gradients(size_t size, int step) {
  Random random(MixSeed(static_cast<uint64_t>(step), 5));
  std::vector<float> values(size);
  for (float& value : values) value = static_cast<float>(random.Normal());
  return values;
}

void StepTimes(ShardedOptimizer* optimizer, int first, int last, size_t size,
               std::vector<float>* parameters) {
  for (int step = first; step < last; ++step) {
    ASSERT_TRUE(
        optimizer->Step(0.01 * (step + 1), Gradients(size, step).data(), parameters->data()).ok());
  }
}

struct Result {
  std::vector<float> parameters;
  Moments moments;
};

Result Reference(const OptimizerOptions& options, size_t size, int steps) {
  auto alone = CreateSingleCommunicator();
  ShardedOptimizer optimizer(options, size, alone.get(), false);
  Result result{std::vector<float>(size, 1.0F), {}};
  StepTimes(&optimizer, 0, steps, size, &result.parameters);
  result.moments = *optimizer.Collect();
  return result;
}

TEST(ShardedOptimizerTest, SameBitsForAnyNumberOfRanks) {
  for (const OptimizerKind kind :
       {OptimizerKind::kSgd, OptimizerKind::kAdam, OptimizerKind::kAdamW}) {
    const OptimizerOptions options = {.kind = kind, .weight_decay = 0.1};
    for (const size_t size : {size_t{1}, size_t{2}, size_t{5}, size_t{1000}, size_t{4099}}) {
      const Result expected = Reference(options, size, 4);
      for (const int ranks : {2, 3}) {
        InThreads(ranks, [&](Communicator* c) {
          ShardedOptimizer optimizer(options, size, c, true);
          std::vector<float> parameters(optimizer.padded_size(), 1.0F);
          StepTimes(&optimizer, 0, 4, size, &parameters);
          parameters.resize(size);
          EXPECT_EQ(parameters, expected.parameters);
          auto moments = optimizer.Collect();
          ASSERT_TRUE(moments.ok());
          EXPECT_EQ(moments->first, expected.moments.first);
          EXPECT_EQ(moments->second, expected.moments.second);
        });
      }
    }
  }
}

TEST(ShardedOptimizerTest, GoesOnWithOtherRanks) {
  const OptimizerOptions options = {.kind = OptimizerKind::kAdam};
  constexpr size_t kSize = 101;
  const Result half = Reference(options, kSize, 3), whole = Reference(options, kSize, 6);
  InThreads(3, [&](Communicator* c) {
    ShardedOptimizer optimizer(options, kSize, c, true);
    ASSERT_TRUE(optimizer.Restore(3, half.moments).ok());
    std::vector<float> parameters = half.parameters;
    parameters.resize(optimizer.padded_size());
    StepTimes(&optimizer, 3, 6, kSize, &parameters);
    parameters.resize(kSize);
    EXPECT_EQ(parameters, whole.parameters);
    EXPECT_EQ(optimizer.steps(), 6);
    EXPECT_FALSE(optimizer.Restore(1, {{1, 2}, {3, 4}}).ok());
  });
}

}  // namespace
}  // namespace trainyard::training
