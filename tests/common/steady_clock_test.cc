// A clock that follows one that jumps.
#include "common/steady_clock.h"

#include <gtest/gtest.h>

namespace trainyard {
namespace {

class Jumping : public Clock {
 public:
  absl::Time Now() const override { return wall; }
  absl::Duration Monotonic() const override { return monotonic; }
  void Pass(absl::Duration time) {
    wall += time;
    monotonic += time;
  }
  absl::Time wall = absl::FromUnixSeconds(1'800'000'000);
  absl::Duration monotonic = absl::Seconds(5);
};

TEST(SteadyClockTest, IsTheWallTimeWhileThatIsSteady) {
  Jumping source;
  const SteadyClock clock(&source);
  for (int i = 0; i < 1000; ++i) {
    source.Pass(absl::Milliseconds(i));
    source.wall += absl::Microseconds(i % 3 - 1);  // adjusted a little all the time
    EXPECT_LT(absl::AbsDuration(clock.Now() - source.wall), absl::Microseconds(10));
  }
}

TEST(SteadyClockTest, AJumpIsApproachedSlowlyAndNeverBackwards) {
  for (const absl::Duration jump : {absl::Hours(1), -absl::Hours(1)}) {
    Jumping source;
    const SteadyClock clock(&source);
    const absl::Time before = clock.Now();
    source.wall += jump;
    absl::Time last = clock.Now();
    EXPECT_EQ(last, before) << "no time has passed";
    for (int minute = 1; minute <= 10; ++minute) {
      source.Pass(absl::Minutes(1));
      const absl::Time now = clock.Now();
      EXPECT_GT(now, last);
      EXPECT_LE(absl::AbsDuration(now - last - absl::Minutes(1)), absl::Seconds(4));
      last = now;
    }
    source.Pass(absl::Hours(16));
    EXPECT_LT(absl::AbsDuration(clock.Now() - source.wall), absl::Seconds(1));
  }
}

TEST(SteadyClockTest, AClockThatWasWrongByYearsIsFollowedAtOnce) {
  Jumping source;
  source.wall = absl::FromUnixSeconds(86400);  // no battery
  const SteadyClock clock(&source);
  source.wall = absl::FromUnixSeconds(1'800'000'000);
  EXPECT_EQ(clock.Now(), source.wall);
}

}  // namespace
}  // namespace trainyard
