// Time, injected. Wall time is for people and journal stamps; monotonic time is for leases and
// waits. Thread-safe.
#ifndef TRAINYARD_COMMON_CLOCK_H_
#define TRAINYARD_COMMON_CLOCK_H_

#include "absl/time/time.h"

namespace trainyard {

class Clock {
 public:
  virtual ~Clock() = default;
  // Wall time; may jump.
  virtual absl::Time Now() const = 0;
  // Time since an arbitrary start; never runs backwards.
  virtual absl::Duration Monotonic() const = 0;
};

// The machine's clocks (CLOCK_REALTIME, CLOCK_BOOTTIME). Never null, never destroyed.
const Clock& RealClock();

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_CLOCK_H_
