// What one session of an agent has said and heard, so that a message that got lost on the way is
// noticed: facts are folded in order without a gap, and what was told is acknowledged in time. A
// session that fails either must end; the next one says everything anew. Thread-safe.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_SESSION_ORDER_H_
#define TRAINYARD_SCHEDULER_RUNTIME_SESSION_ORDER_H_

#include <cstdint>

#include "absl/time/time.h"
#include "common/mutex.h"

namespace trainyard::runtime {

class SessionOrder {
 public:
  // How long an agent may take to acknowledge what it was told.
  static constexpr absl::Duration kPatience = absl::Seconds(10);

  // With the session's hello; 0 of agents that do not count.
  void Begin(uint64_t first_unacked_fact) {
    MutexLock lock(&mutex_);
    next_fact_ = first_unacked_fact;
  }
  // False when facts before this one are missing. One that came before may come again.
  bool TakeFact(uint64_t sequence) {
    MutexLock lock(&mutex_);
    if (next_fact_ == 0) return true;
    if (sequence > next_fact_) return false;
    if (sequence == next_fact_) ++next_fact_;
    return true;
  }

  // A desired state of that version is sent.
  void Told(uint64_t version, absl::Duration now) {
    MutexLock lock(&mutex_);
    if (told_ <= acknowledged_) waiting_since_ = now;
    told_ = version;
  }
  void Acknowledged(uint64_t version, absl::Duration now) {
    MutexLock lock(&mutex_);
    if (version <= acknowledged_) return;
    acknowledged_ = version;
    waiting_since_ = now;
  }
  // Whether something told is not acknowledged although there was time to.
  bool Lags(absl::Duration now) const {
    MutexLock lock(&mutex_);
    return told_ > acknowledged_ && now >= waiting_since_ + kPatience;
  }

 private:
  mutable Mutex mutex_;
  uint64_t next_fact_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t told_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t acknowledged_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Duration waiting_since_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_SESSION_ORDER_H_
