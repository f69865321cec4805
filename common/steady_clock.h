// Wall time for deadlines: follows a clock that may jump, without jumping itself. A machine whose
// clock is set by an hour must not end the jobs that had half an hour left.
#ifndef TRAINYARD_COMMON_STEADY_CLOCK_H_
#define TRAINYARD_COMMON_STEADY_CLOCK_H_

#include "absl/base/thread_annotations.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace trainyard {

// Now() passes as Monotonic() does and comes nearer to the source's wall time by at most a
// sixteenth of that. Beyond a day of difference the source was plainly wrong before: it is
// followed at once. Thread-safe.
class SteadyClock : public Clock {
 public:
  // `source` outlives this. Begins at its wall time.
  explicit SteadyClock(const Clock* source);
  absl::Time Now() const override;
  absl::Duration Monotonic() const override { return source_->Monotonic(); }

 private:
  const Clock* const source_;
  mutable Mutex mutex_;
  mutable absl::Time last_ ABSL_GUARDED_BY(mutex_);
  mutable absl::Duration last_monotonic_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_STEADY_CLOCK_H_
