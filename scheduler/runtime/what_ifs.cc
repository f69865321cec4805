// See what_ifs.h.
#include "scheduler/runtime/what_ifs.h"

#include <utility>

namespace trainyard::runtime {

void WhatIfs::Forget(absl::Duration now) {
  std::erase_if(kept_, [now](const auto& one) { return one.second.until <= now; });
}

void WhatIfs::Note(uint64_t run_uid, absl::Duration begun, absl::Duration now,
                   std::vector<placement::Counterfactual> found) {
  if (now - begun < kCostly) return;
  MutexLock lock(&mutex_);
  Forget(now);
  if (kept_.size() < kMost) kept_[run_uid] = {now + kKept, std::move(found)};
}

std::optional<std::vector<placement::Counterfactual>> WhatIfs::Find(uint64_t run_uid,
                                                                    absl::Duration now) {
  MutexLock lock(&mutex_);
  Forget(now);
  const auto known = kept_.find(run_uid);
  if (known == kept_.end()) return std::nullopt;
  return known->second.found;
}

}  // namespace trainyard::runtime
