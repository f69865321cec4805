// A policy: a named configuration of the stages admission, quota, order, select, place, preempt and
// estimate. Plain values.
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_POLICY_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_POLICY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace trainyard::placement {

enum class OrderBy {
  kQueued,    // who queued first
  kAttained,  // levels of attained service, then who runs, then who waited longest
  kFair,      // finish-time fairness over users: who is furthest behind its share first
};
enum class Select {
  kStrict,        // a head that waits for room holds back those behind it
  kSkip,          // whoever fits starts
  kEasy,          // the head has a reservation; others start when they cannot delay it
  kConservative,  // everybody looked at has one
};
struct Policy {
  std::string name = "fifo";
  OrderBy order = OrderBy::kQueued;
  Select select = Select::kStrict;
  bool preempt = false;  // for order and reservations; guarantees are reclaimed in any case
  int32_t depth = 0;     // runs that may backfill or hold a reservation in a plan; 0: all
  int64_t min_run_us = 600'000'000;      // a victim ran at least so long
  int64_t restart_cost_us = 60'000'000;  // until a preempted run makes progress again
  int64_t cores_per_device = 8;          // what cores are charged where no device is asked for
};

// The policies by name: fifo, skip, easy, las, fair, las-r.
const std::vector<std::string>& PolicyNames();
// Nothing for an unknown name.
std::optional<Policy> PolicyNamed(absl::string_view name);

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_POLICY_H_
