// What would make a waiting run start earlier. Every answer was tried: the snapshot with the change
// was planned, and the run started (or the runs that make room for it were told to stop). Pure.
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_WHAT_IF_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_WHAT_IF_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "scheduler/placement/placement.h"

namespace trainyard::placement {

class Planner;

// Tells the planner all that the snapshot says.
void FillPlanner(const Snapshot& snapshot, Planner* planner);

// Asked before every try: false ends the search, and only what was tried by then is told.
using GoOn = std::function<bool()>;
// Whether the plan of a snapshot starts the run, for callers with a plan of their own.
using Starts = std::function<bool(const Snapshot& snapshot)>;

// Changes under which the run would start at once, those that cost its user least first, at most
// six. None where it starts as it is. Each costs a few plans of the snapshot.
std::vector<Counterfactual> WhatIf(const Snapshot& snapshot, const Policy& policy,
                                   uint64_t run_uid);
std::vector<Counterfactual> WhatIf(const Snapshot& snapshot, const Policy& policy, uint64_t run_uid,
                                   const Starts& starts, const GoOn& go_on);

// The snapshot after the change.
Snapshot Apply(const Counterfactual& change, uint64_t run_uid, const Snapshot& snapshot);

// Whether the run is placed, or room is being made for it.
bool StartsIn(const Plan& plan, uint64_t run_uid);
// The same of the plan of the snapshot.
bool StartsNow(const Snapshot& snapshot, const Policy& policy, uint64_t run_uid);

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_WHAT_IF_H_
