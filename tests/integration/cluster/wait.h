// Waiting for a condition of the real world: asked again every few milliseconds until it holds or
// the time is over. Tests wait on conditions alone; the limits are generous, since they end a hung
// test and measure nothing. Thread-safe.
#ifndef TRAINYARD_TESTS_INTEGRATION_CLUSTER_WAIT_H_
#define TRAINYARD_TESTS_INTEGRATION_CLUSTER_WAIT_H_

#include <algorithm>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace trainyard::testing {

inline constexpr absl::Duration kPatience = absl::Seconds(60);

// True as soon as `condition()` is; false when it never was within `limit`.
template <typename Condition>
bool Within(absl::Duration limit, Condition condition) {
  const absl::Time end = absl::Now() + limit;
  absl::Duration pause = absl::Milliseconds(1);
  for (;;) {
    if (condition()) return true;
    if (absl::Now() >= end) return false;
    absl::SleepFor(pause);
    pause = std::min(pause * 2, absl::Milliseconds(20));
  }
}

template <typename Condition>
bool Eventually(Condition condition) {
  return Within(kPatience, condition);
}

}  // namespace trainyard::testing

#endif  // TRAINYARD_TESTS_INTEGRATION_CLUSTER_WAIT_H_
