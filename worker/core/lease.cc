// See lease.h.
#include "worker/core/lease.h"

#include <algorithm>

namespace trainyard::worker {
namespace {
constexpr size_t kUnansweredMax = 1000;
}  // namespace

void Lease::Begin(absl::Duration sent, absl::Duration length, absl::Duration heartbeat_every) {
  in_session_ = true;
  length_ = length;
  every_ = std::max(heartbeat_every, absl::Milliseconds(10));
  until_ = std::max(until_, sent + length);
  last_word_ = std::max(last_word_, sent);
  next_heartbeat_ = sent + every_;
  sent_.clear();
}

void Lease::EndSession() {
  in_session_ = false;
  next_heartbeat_ = absl::InfiniteDuration();
  sent_.clear();
}

bool Lease::HeartbeatDue(absl::Duration now, uint64_t* sequence) {
  if (!in_session_ || now < next_heartbeat_) return false;
  *sequence = next_sequence_++;
  sent_.emplace_back(*sequence, now);
  if (sent_.size() > kUnansweredMax) sent_.pop_front();
  next_heartbeat_ = now + every_;
  return true;
}

bool Lease::Renew(uint64_t sequence) {
  const auto found = std::find_if(sent_.begin(), sent_.end(),
                                  [sequence](const auto& sent) { return sent.first == sequence; });
  if (found == sent_.end()) return false;
  until_ = std::max(until_, found->second + length_);
  last_word_ = std::max(last_word_, found->second);
  sent_.erase(sent_.begin(), found + 1);
  return true;
}

}  // namespace trainyard::worker
