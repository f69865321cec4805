// What would make a waiting run start earlier. Every answer was tried: the snapshot with the change
// was planned, and the run started (or the runs that make room for it were told to stop). Pure.
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_WHAT_IF_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_WHAT_IF_H_

#include <cstdint>
#include <vector>

#include "scheduler/placement/placement.h"

namespace trainyard::placement {

class Planner;

// Tells the planner all that the snapshot says.
void FillPlanner(const Snapshot& snapshot, Planner* planner);

// Changes under which the run would start at once, those that cost its user least first, at most
// six. Each costs a few plans of the snapshot.
std::vector<Counterfactual> WhatIf(const Snapshot& snapshot, const Policy& policy,
                                   uint64_t run_uid);

// The snapshot after the change.
Snapshot Apply(const Counterfactual& change, uint64_t run_uid, const Snapshot& snapshot);

// Whether the run is placed, or room is being made for it, by the plan of the snapshot.
bool StartsNow(const Snapshot& snapshot, const Policy& policy, uint64_t run_uid);

// As MakePlan, but no explanation says what would start its run: that costs many plans.
Plan PlanWithoutWhatIfs(const Snapshot& snapshot, const Policy& policy);

// Adds them to the first explanations of a plan, as far as that is cheap.
void AddWhatIfs(const Snapshot& snapshot, const Policy& policy, Plan* plan);

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_WHAT_IF_H_
