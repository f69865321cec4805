// See leases.h.
#include "scheduler/runtime/leases.h"

#include <algorithm>

namespace trainyard::runtime {

void Leases::Start(const std::string& node_id, absl::Duration now, absl::Duration lease) {
  MutexLock lock(&mutex_);
  ends_[node_id] = now + lease;
}

bool Leases::Renew(const std::string& node_id, absl::Duration now, absl::Duration lease) {
  MutexLock lock(&mutex_);
  const auto found = ends_.find(node_id);
  if (found == ends_.end()) return false;
  found->second = std::max(found->second, now + lease);
  return true;
}

absl::Duration Leases::Silence(const std::string& node_id, absl::Duration now,
                               absl::Duration lease) const {
  MutexLock lock(&mutex_);
  const auto found = ends_.find(node_id);
  return found == ends_.end() ? absl::InfiniteDuration() : now - (found->second - lease);
}

void Leases::RestartAll(absl::Duration now, absl::Duration lease) {
  MutexLock lock(&mutex_);
  for (auto& [node, end] : ends_) end = std::max(end, now + lease);
}

std::vector<std::string> Leases::Expire(absl::Duration now) {
  MutexLock lock(&mutex_);
  std::vector<std::string> over;
  for (auto it = ends_.begin(); it != ends_.end();) {
    if (it->second <= now) {
      over.push_back(it->first);
      it = ends_.erase(it);
    } else {
      ++it;
    }
  }
  return over;
}

absl::Duration Leases::Next() const {
  MutexLock lock(&mutex_);
  absl::Duration next = absl::InfiniteDuration();
  for (const auto& [node, end] : ends_) next = std::min(next, end);
  return next;
}

}  // namespace trainyard::runtime
