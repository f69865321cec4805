// Clock, mutex, condition and fault points.
#include <gtest/gtest.h>
#include <signal.h>

#include <thread>
#include <vector>

#include "common/clock.h"
#include "common/fault_point.h"
#include "common/mutex.h"

namespace trainyard {
namespace {

TEST(ClockTest, MonotonicTimeNeverRunsBackwards) {
  absl::Duration last = RealClock().Monotonic();
  for (int i = 0; i < 10'000; ++i) {
    const absl::Duration now = RealClock().Monotonic();
    ASSERT_GE(now, last);
    last = now;
  }
  EXPECT_GT(RealClock().Now(), absl::FromUnixSeconds(1'700'000'000));
}

struct Counter {
  Mutex mutex;
  CondVar changed;
  int value ABSL_GUARDED_BY(mutex) = 0;
};

TEST(MutexTest, OneThreadAtATime) {
  Counter counter;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&counter] {
      for (int i = 0; i < 10'000; ++i) {
        MutexLock lock(&counter.mutex);
        ++counter.value;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  MutexLock lock(&counter.mutex);
  EXPECT_EQ(counter.value, 40'000);
}

TEST(MutexTest, AWaiterSeesWhatItWasWokenFor) {
  Counter counter;
  std::thread other([&counter] {
    MutexLock lock(&counter.mutex);
    counter.value = 1;
    counter.changed.NotifyAll();
    while (counter.value != 2) counter.changed.Wait(&counter.mutex);
    counter.value = 3;
    counter.changed.NotifyOne();
  });
  {
    MutexLock lock(&counter.mutex);
    while (counter.value != 1) counter.changed.Wait(&counter.mutex);
    counter.value = 2;
    counter.changed.NotifyAll();
    while (counter.value != 3) counter.changed.Wait(&counter.mutex);
  }
  other.join();
}

TEST(MutexTest, AWaitEndsWithItsTime) {
  Counter counter;
  MutexLock lock(&counter.mutex);
  // May wake for no reason, but not for ever.
  while (counter.changed.WaitFor(&counter.mutex, absl::Milliseconds(1))) {
  }
  EXPECT_EQ(counter.value, 0);
}

class FaultPointTest : public testing::Test {
 protected:
  void TearDown() override { fault::Arm(""); }
};

TEST_F(FaultPointTest, UnarmedPointsCostAndRememberNothing) {
  fault::Arm("");
  TRAINYARD_FAULT_POINT("test.quiet");
  EXPECT_TRUE(fault::Seen().empty());
}

TEST_F(FaultPointTest, ArmedPointsAreCountedByName) {
  fault::Arm("test.other=stall:0");
  TRAINYARD_FAULT_POINT("test.b");
  TRAINYARD_FAULT_POINT("test.a");
  TRAINYARD_FAULT_POINT("test.b");
  EXPECT_EQ(fault::Seen(), (std::vector<std::string>{"test.a", "test.b"}));
}

TEST_F(FaultPointTest, TheThirdPassDies) {
  const auto pass_three_times = [] {
    fault::Arm("test.die=exit@3,test.stall=stall:1");
    for (int i = 0; i < 3; ++i) {
      TRAINYARD_FAULT_POINT("test.stall");
      if (i == 2) fprintf(stderr, "at the third\n");
      TRAINYARD_FAULT_POINT("test.die");
    }
    fprintf(stderr, "survived\n");
    _exit(0);
  };
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(pass_three_times(), testing::KilledBySignal(SIGKILL), "^at the third\n$");
}

TEST_F(FaultPointTest, NonsenseArmsNothing) {
  fault::Arm("test.x=explode,=exit,test.y=stall:soon,test.z=exit@many");
  TRAINYARD_FAULT_POINT("test.x");
  TRAINYARD_FAULT_POINT("test.y");
  TRAINYARD_FAULT_POINT("test.z");
  EXPECT_EQ(fault::Seen().size(), 3u);
}

}  // namespace
}  // namespace trainyard
