// What searches for what would start a run have found, for a while: whoever waits for a job asks
// again and again, and on a large cluster a search takes as long as it may. Thread-safe.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_WHAT_IFS_H_
#define TRAINYARD_SCHEDULER_RUNTIME_WHAT_IFS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "common/mutex.h"
#include "scheduler/placement/placement.h"

namespace trainyard::runtime {

class WhatIfs {
 public:
  // Searches that took longer than kCostly are not made again within kKept.
  static constexpr absl::Duration kCostly = absl::Milliseconds(100);
  static constexpr absl::Duration kKept = absl::Seconds(10);
  static constexpr size_t kMost = 256;  // runs

  // Times are monotonic. A search that was begun at `begun` has ended `now`.
  void Note(uint64_t run_uid, absl::Duration begun, absl::Duration now,
            std::vector<placement::Counterfactual> found);
  // Nothing: it is to be searched for.
  std::optional<std::vector<placement::Counterfactual>> Find(uint64_t run_uid, absl::Duration now);

 private:
  struct Kept {
    absl::Duration until;
    std::vector<placement::Counterfactual> found;
  };
  void Forget(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;
  std::map<uint64_t, Kept> kept_ ABSL_GUARDED_BY(mutex_);  // by run
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_WHAT_IFS_H_
