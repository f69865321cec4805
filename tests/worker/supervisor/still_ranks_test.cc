// Which rank stands still, by what a kernel in a folder says; and who merely waits, or works
// little.
#include "worker/supervisor/still_ranks.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

namespace trainyard::worker {
namespace {

constexpr int64_t kLimit = 10'000;
constexpr int64_t kStep = 500;

class StillRanksTest : public testing::Test {
 protected:
  StillRanksTest() { Process(1, 0, 'S', 1000); }
  ~StillRanksTest() override { std::filesystem::remove_all(folder_); }

  // `ticks` of processor time, a part of it the system's; the name has all that misleads.
  void Process(int pid, int parent, char state, int64_t ticks) {
    const std::string own = folder_ + "/" + std::to_string(pid);
    std::filesystem::create_directories(own);
    std::ofstream(own + "/stat") << pid << " (a) S 9 (b) " << state << " " << parent
                                 << " 1 1 0 -1 4194304 100 0 0 0 " << ticks - ticks / 3 << " "
                                 << ticks / 3 << " 0 0 20 0 1 0 12345 1000000 100\n";
    std::ofstream(own + "/wchan") << "futex_wait_queue";
  }
  // A thread of the process, where the kernel counts nanoseconds.
  void Thread(int pid, int thread, int64_t used_ns) {
    const std::string own = folder_ + "/" + std::to_string(pid) + "/task/" + std::to_string(thread);
    std::filesystem::create_directories(own);
    std::ofstream(own + "/schedstat") << used_ns << " 77 5\n";
  }
  void Gone(int pid) { std::filesystem::remove_all(folder_ + "/" + std::to_string(pid)); }
  // One look after the other until `until_ms`, or until one stands still.
  std::optional<StillRank> LookUntil(int64_t until_ms) {
    std::optional<StillRank> still;
    while (!still.has_value() && now_ms_ + kStep <= until_ms) {
      now_ms_ += kStep;
      if (each_look_) each_look_();
      still = ranks_.Look({{0, 100}, {1, 101}}, now_ms_, kLimit);
    }
    return still;
  }

  static std::string MakeFolder() {
    char name[] = "/tmp/trainyard-still-ranks-test-XXXXXX";
    return mkdtemp(name);
  }

  const std::string folder_ = MakeFolder();
  StillRanks ranks_{folder_};
  std::function<void()> each_look_;
  int64_t now_ms_ = 1'000'000;
};

TEST(HangLimitTest, IsWhatTheVariableSaysAndABitMore) {
  EXPECT_EQ(HangLimitMillis({}), 0);
  EXPECT_EQ(HangLimitMillis({{"TRAINYARD_HANG_TIMEOUT", "30"}}), 32'000);
  EXPECT_EQ(HangLimitMillis({{"TRAINYARD_HANG_TIMEOUT", "0.5"}}), 2500);
  for (const char* none : {"0", "-1", "", "ten", "10s", "nan", "inf"}) {
    EXPECT_EQ(HangLimitMillis({{"TRAINYARD_HANG_TIMEOUT", none}}), 0) << none;
  }
}

TEST_F(StillRanksTest, OneThatIsStoppedIsNamedAmongOthersThatWork) {
  int64_t ticks = 500;
  each_look_ = [&] { Process(100, 50, 'S', ticks += 3); };
  Process(101, 50, 'T', 700);
  const auto still = LookUntil(now_ms_ + 60'000);
  ASSERT_TRUE(still.has_value());
  EXPECT_EQ(still->rank, 1);
  EXPECT_EQ(still->pid, 101);
  EXPECT_EQ(still->doing, "is stopped by a signal");
  EXPECT_TRUE(still->is_stopped);
  EXPECT_EQ(still->since_ms, 1'000'000 + kStep);
  EXPECT_EQ(now_ms_ - still->since_ms, kLimit) << "as soon as the limit is over";
}

TEST_F(StillRanksTest, NobodyIsNamedBeforeTheLimit) {
  Process(100, 50, 'S', 500);
  Process(101, 50, 'T', 700);
  EXPECT_FALSE(LookUntil(now_ms_ + kLimit).has_value());
  EXPECT_TRUE(LookUntil(now_ms_ + kStep).has_value());
}

TEST_F(StillRanksTest, TheOneThatIsStoppedBeforeThoseThatWaitForIt) {
  Process(100, 50, 'S', 500);
  Process(101, 50, 'T', 700);
  const auto still = LookUntil(now_ms_ + 60'000);
  ASSERT_TRUE(still.has_value());
  EXPECT_EQ(still->rank, 1);
}

TEST_F(StillRanksTest, TheFirstToFallSilentBeforeThoseThatWaitForIt) {
  int64_t ticks = 500;
  each_look_ = [&] {
    Process(101, 50, 'S', 700);
    Process(100, 50, 'S', now_ms_ < 1'005'000 ? ticks += 3 : ticks);
  };
  const auto still = LookUntil(now_ms_ + 60'000);
  ASSERT_TRUE(still.has_value());
  EXPECT_EQ(still->rank, 1);
  EXPECT_EQ(still->doing, "is asleep in futex_wait_queue");
  EXPECT_FALSE(still->is_stopped);
}

TEST_F(StillRanksTest, WorkOfAProcessBelowCounts) {
  int64_t ticks = 10;
  Process(100, 50, 'S', 500);
  Process(101, 50, 'S', 700);
  Process(200, 100, 'S', 1);
  each_look_ = [&] {
    Process(300, 200, 'S', ticks += 3);
    Process(301, 101, 'S', ticks);
  };
  EXPECT_FALSE(LookUntil(now_ms_ + 60'000).has_value());
  Gone(300);  // what it used is gone with it: something was done
  Gone(301);
  each_look_ = nullptr;
  EXPECT_FALSE(LookUntil(now_ms_ + kLimit).has_value());
  EXPECT_TRUE(LookUntil(now_ms_ + kStep).has_value());
}

TEST_F(StillRanksTest, WhoWaitsForAProcessorDoesNotStandStill) {
  Process(100, 50, 'R', 500);
  Process(101, 50, 'S', 700);
  Process(200, 101, 'R', 3);
  EXPECT_FALSE(LookUntil(now_ms_ + 60'000).has_value());
}

// A thread that wakes ten times a second for a beat is no work; four in a thousand parts of the
// time are, in whichever thread.
TEST_F(StillRanksTest, ABeatIsNoWorkButALittleWorkIs) {
  Process(100, 50, 'S', 500);
  Process(101, 50, 'S', 500);
  Thread(100, 100, 5'000'000'000);
  Thread(101, 101, 5'000'000'000);
  int64_t looks = 0;
  each_look_ = [&] {
    ++looks;
    Thread(100, 110, looks * 200'000);
    Thread(101, 111, looks * 2'000'000);
  };
  const auto still = LookUntil(now_ms_ + 60'000);
  ASSERT_TRUE(still.has_value());
  EXPECT_EQ(still->rank, 0);
  EXPECT_EQ(now_ms_ - still->since_ms, kLimit);
}

TEST_F(StillRanksTest, ARankThatHasEndedIsNotLookedFor) {
  Process(100, 50, 'Z', 500);
  Gone(101);
  int64_t ticks = 500;
  each_look_ = [&] { Process(100, 50, 'S', ticks += 3); };
  EXPECT_FALSE(LookUntil(now_ms_ + 60'000).has_value());
}

// The supervisor itself was stopped, and all ranks with it, say by a snapshot of the machine.
TEST_F(StillRanksTest, ATimeInWhichNobodyLookedDoesNotCount) {
  Process(100, 50, 'S', 500);
  Process(101, 50, 'S', 700);
  EXPECT_FALSE(LookUntil(now_ms_ + kLimit / 2).has_value());
  now_ms_ += 3'600'000;
  EXPECT_FALSE(LookUntil(now_ms_ + kLimit).has_value());
}

}  // namespace
}  // namespace trainyard::worker
