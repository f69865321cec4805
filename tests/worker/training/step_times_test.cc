// The slow rank is named, to all alike; small differences are none.
#include "worker/training/step_times.h"

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "worker/training/hang.h"
#include "worker/training/shared_communicator.h"

namespace trainyard::training {
namespace {

std::vector<Straggler> Find(const std::vector<double>& busy) {
  auto ranks = CreateSharedCommunicators(static_cast<int>(busy.size()));
  std::vector<Straggler> found(busy.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < busy.size(); ++i) {
    threads.emplace_back([&, i] { found[i] = *FindStraggler(busy[i], (*ranks)[i].get()); });
  }
  for (std::thread& thread : threads) thread.join();
  return found;
}

TEST(StepTimesTest, TheSlowRankIsNamedToAll) {
  for (const Straggler& straggler : Find({1.0, 1.1, 3.0, 0.9})) {
    EXPECT_EQ(straggler.rank, 2);
    EXPECT_EQ(straggler.node, NodeName());
    EXPECT_NEAR(straggler.factor, 3.0, 1e-9);
  }
  EXPECT_EQ(Find({1.0, 2.0})[0].rank, 1);
}

TEST(StepTimesTest, TellingComparesRanksAndSaysWhatCouldNotBeReported) {
  auto ranks = CreateSharedCommunicators(2);
  ASSERT_TRUE(ranks.ok());
  const auto tell = [&](size_t rank, const std::string& socket) {
    Reporter reporter(socket, static_cast<int>(rank));
    absl::Status reported;
    auto slow = TellStepTimes(4, {10, rank == 0 ? 9.0 : 1.0, 0.5}, (*ranks)[rank].get(), &reporter,
                              &reported);
    EXPECT_TRUE(slow.ok());
    EXPECT_EQ(slow->rank, 0);
    return reported;
  };
  std::thread other([&] { EXPECT_TRUE(tell(1, "").ok()) << "outside a job"; });
  EXPECT_TRUE(absl::IsUnavailable(tell(0, "/absent/socket")));
  other.join();
}

TEST(StepTimesTest, NoiseIsNotBlamed) {
  EXPECT_EQ(Find({1.0, 1.2, 1.4})[0].rank, -1);
  EXPECT_EQ(Find({0.01, 0.05})[1].rank, -1);
  EXPECT_EQ(Find({2.0})[0].rank, -1);
}

}  // namespace
}  // namespace trainyard::training
