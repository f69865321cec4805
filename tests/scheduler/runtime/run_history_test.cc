// What is learned from runs that were told when they would start.
#include "scheduler/runtime/run_history.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/scheduler/runtime/scene.h"

namespace trainyard::runtime {
namespace {

constexpr int64_t kSecond = 1'000'000;

class RunHistoryTest : public testing::Test {
 protected:
  RunHistoryTest() {
    scene_.Connect("a", 1);
    scene_.Submit("runs");
    job_ = scene_.Submit("waits");
    run_ = scene_.view().Job(job_)->run_uid();
  }
  void Pass(int seconds) {
    for (; seconds > 0; seconds -= 10) {
      scene_.clock.Pass(absl::Seconds(std::min(seconds, 10)));
      EXPECT_TRUE(scene_.runtime().AgentHeartbeat("a"));
    }
  }
  int64_t NowUs() const { return absl::ToUnixMicros(scene_.clock.Now()); }
  const core::State& state() { return scene_.runtime().engine().state(); }
  void Foretell() {
    placement::Explanation told;
    told.run_uid = run_;
    told.estimated_start_us = NowUs() + 20 * kSecond;
    told.estimate_earliest_us = NowUs() + 10 * kSecond;
    told.estimate_latest_us = NowUs() + 40 * kSecond;
    history_.Foretold(told, NowUs());
  }
  int64_t Starts() {
    const auto shared = history_.Shared(scene_.clock.Monotonic() + absl::Hours(++asked_));
    return shared == nullptr ? 0 : shared->starts();
  }
  // The run starts.
  void Start() {
    const auto ordered = scene_.Ordered("a");
    scene_.RunToSuccess("a", ordered.at(0).key());
    ASSERT_EQ(state().runs.at(run_)->state(), journal::v1::R_ACTIVE);
    core::Touched touched;
    touched.runs.insert(run_);
    history_.Update(state(), touched);
  }

  Scene scene_;
  RunHistory history_;
  uint64_t job_ = 0;
  uint64_t run_ = 0;
  int asked_ = 0;
};

TEST_F(RunHistoryTest, WhoStillWaitsAfterItsBandCountsOnceAsMissed) {
  Foretell();
  Pass(40);
  history_.CountOverdue(state(), NowUs());
  EXPECT_EQ(Starts(), 0) << "its band is not over";
  Pass(1);
  history_.CountOverdue(state(), NowUs());
  EXPECT_EQ(Starts(), 1);
  EXPECT_EQ(history_.Shared(absl::InfiniteDuration())->hits(), 0);
  Foretell();  // the first word counts
  Pass(60);
  history_.CountOverdue(state(), NowUs());
  EXPECT_EQ(Starts(), 1);
  Start();
  EXPECT_EQ(Starts(), 1) << "it was counted while it waited";
}

TEST_F(RunHistoryTest, WhoStartsWithinItsBandIsNeverOverdue) {
  Foretell();
  Pass(12);
  Start();
  EXPECT_EQ(Starts(), 1);
  Pass(60);
  history_.CountOverdue(state(), NowUs());
  EXPECT_EQ(Starts(), 1);
}

TEST_F(RunHistoryTest, WhoIsKeptWaitingByItsOwnerIsNot) {
  Foretell();
  core::SetQueueing wish{"default", "waits", {}, 0};
  wish.queueing.set_hold(true);
  ASSERT_TRUE(scene_.Do(wish).ok());
  Pass(60);
  history_.CountOverdue(state(), NowUs());
  EXPECT_EQ(Starts(), 0);
}

}  // namespace
}  // namespace trainyard::runtime
