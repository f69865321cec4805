// See steady_clock.h.
#include "common/steady_clock.h"

#include <algorithm>

namespace trainyard {
namespace {

constexpr int kSlew = 16;
constexpr absl::Duration kFollowedMax = absl::Hours(24);

}  // namespace

SteadyClock::SteadyClock(const Clock* source)
    : source_(source), last_(source->Now()), last_monotonic_(source->Monotonic()) {}

absl::Time SteadyClock::Now() const {
  MutexLock lock(&mutex_);
  const absl::Duration monotonic = source_->Monotonic();
  const absl::Time wall = source_->Now();
  const absl::Duration elapsed = std::max(absl::ZeroDuration(), monotonic - last_monotonic_);
  const absl::Time expected = last_ + elapsed;
  const absl::Duration off = wall - expected;
  const absl::Duration most = elapsed / kSlew;
  last_ = absl::AbsDuration(off) > kFollowedMax ? wall : expected + std::clamp(off, -most, most);
  last_monotonic_ = monotonic;
  return last_;
}

}  // namespace trainyard
