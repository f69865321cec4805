// The order and preempt stages of fair: users get equal shares of the cluster, or as their weights
// say, at every moment (generalised processor sharing). A user that always has enough to run is not
// slower than on a share of its own, which is what finish-time fairness asks for (Themis, NSDI
// 2020); what a user did not use or lost earlier is not made up for later. See planner.h.
//  - A user's share is the cluster's devices by its weight among the users that have unfinished
//    runs. Who holds least of its share is served first; among equals who was submitted first.
//  - A run whose user stays within its share with it may take devices of users that stay at or
//  above
//    theirs without them. Who took them cannot lose them to the one it took them from: no cycle.
#include <algorithm>

#include "scheduler/placement/planner.h"

namespace trainyard::placement {

// Devices that are the owner's by right, in thousandths.
double Planner::EntitledMilli(const Owner& owner) const {
  return static_cast<double>(capacity_milli_) * static_cast<double>(owner.weight) /
         static_cast<double>(std::max<int64_t>(1, active_weight_));
}

// What it holds and is about to, for its weight.
int64_t Planner::StandingOf(const Owner& owner) const {
  return owner.standing_milli * 1000 / std::max<int64_t>(1, owner.weight);
}

// A run of the owner takes so much more, or gives it back.
void Planner::Stand(const Run& of, int sign) {
  if (policy_.order != OrderBy::kFair || of.owner < 0) return;
  Owner& owner = owners_[static_cast<size_t>(of.owner)];
  owner.standing_milli += sign * shape(of).charge_milli;
  for (const int32_t line : owner.lines) {
    if (lines_[static_cast<size_t>(line)].listed) Rekey(line);
  }
}

bool Planner::WithinShare(int32_t owner, int64_t more_milli) const {
  const Owner& of = owners_[static_cast<size_t>(owner)];
  return static_cast<double>(of.standing_milli + more_milli) <= EntitledMilli(of);
}

bool Planner::AboveShare(int32_t owner, int64_t without_milli) const {
  const Owner& of = owners_[static_cast<size_t>(owner)];
  return static_cast<double>(of.standing_milli - without_milli) >= EntitledMilli(of);
}

}  // namespace trainyard::placement
