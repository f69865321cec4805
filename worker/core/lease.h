// The agent's lease: counted as a duration from the sending of the heartbeat that was answered, on
// the monotonic clock, so that no jump of wall time and no delay on the way can lengthen it. Pure.
#ifndef TRAINYARD_WORKER_CORE_LEASE_H_
#define TRAINYARD_WORKER_CORE_LEASE_H_

#include <cstdint>
#include <deque>
#include <utility>

#include "absl/time/time.h"

namespace trainyard::worker {

class Lease {
 public:
  // A session began at `sent` (the Hello's sending): the lease runs from there.
  void Begin(absl::Duration sent, absl::Duration length, absl::Duration heartbeat_every);
  // The session ended: what is left of the lease still counts.
  void EndSession();
  // Whether a heartbeat is due at `now`; then it counts as sent and `sequence` is its number.
  bool HeartbeatDue(absl::Duration now, uint64_t* sequence);
  // Answer to heartbeat `sequence`. False when it is none of ours.
  bool Renew(uint64_t sequence);

  bool Valid(absl::Duration now) const { return now < until_; }
  absl::Duration until() const { return until_; }
  absl::Duration last_word() const { return last_word_; }  // sending of the last answered message
  bool in_session() const { return in_session_; }
  absl::Duration length() const { return length_; }
  absl::Duration next_heartbeat() const { return next_heartbeat_; }

 private:
  bool in_session_ = false;
  absl::Duration length_ = absl::ZeroDuration();
  absl::Duration every_ = absl::Seconds(1);
  absl::Duration until_ = -absl::InfiniteDuration();
  absl::Duration last_word_ = -absl::InfiniteDuration();
  absl::Duration next_heartbeat_ = absl::InfiniteDuration();
  uint64_t next_sequence_ = 1;
  std::deque<std::pair<uint64_t, absl::Duration>> sent_;  // unanswered, at most 1,000
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_CORE_LEASE_H_
