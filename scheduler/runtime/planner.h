// Planning a snapshot by the policies in force: the scheduler's, and those of queues that have
// their own. Pure: runs in any thread.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_PLANNER_H_
#define TRAINYARD_SCHEDULER_RUNTIME_PLANNER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/core/state.h"
#include "scheduler/placement/placement.h"
#include "scheduler/placement/what_if.h"
#include "scheduler/runtime/delta.h"
#include "scheduler/runtime/refusals.h"

namespace trainyard::runtime {

class PlanDesk;

struct Policies {
  placement::Policy usual;
  std::map<std::string, placement::Policy> by_queue;  // only of queues with their own
  const placement::Policy& Of(const std::string& queue) const;
};
// Policies of the queues in `state`, beside the usual one.
Policies PoliciesOf(const core::State& state, const placement::Policy& usual);

// One plan for everybody. Queues with their own policy are planned apart: runs of one policy and
// neighbouring priorities together, the highest first, each group with what those before it took
// and without what is held for runs of others. `explain`: why those wait that do not start.
placement::Plan MakeWholePlan(const placement::Snapshot& snapshot, const Policies& policies,
                              bool explain = true);

// A look at the queue, for a planner thread.
struct PlanJob {
  Policies policies;
  uint64_t version = 0;
  placement::Snapshot snapshot;         // unless there is a desk
  std::map<uint64_t, uint64_t> epochs;  // of the attempts in it, by run
  // Or what the desk knows, with what the owner adds (placement/snapshot.h).
  std::shared_ptr<PlanDesk> desk;
  bool whole = true;  // everybody is looked at anew, and explained
  int64_t now_us = 0;
  std::vector<placement::Reservation> held;
  placement::PlanMemory memory;
  Refusals refusals;
  std::shared_ptr<const placement::RunTimeHistory> history;
};
struct PlanAnswer {
  placement::Plan plan;  // its explanations are those below
  std::map<uint64_t, uint64_t> epochs;
  uint64_t version = 0;
  bool whole = true;
  std::vector<ExplanationPtr> explanations;  // none unless whole
  std::vector<uint64_t> hopeless;            // what no node that takes work could hold
};
PlanAnswer ThinkOver(PlanJob job);
// Moves the plan's explanations to where they are shared.
void ShareExplanations(PlanAnswer* answer);

// What would become of one more run.
struct Preview {
  bool starts_now = false;
  std::vector<std::string> nodes;      // where
  int preempts = 0;                    // runs that would be stopped for it first
  placement::Explanation explanation;  // when it does not start
  std::vector<placement::Counterfactual> changes;
};
struct PreviewJob {
  PlanJob plan;
  placement::WaitingRun run;
  std::function<void(absl::StatusOr<Preview>)> done;
};
// `go_on`: as long as what would start it is looked for.
Preview ThinkOver(PreviewJob job, const placement::GoOn& go_on);

// What would start a run that waits (placement/what_if.h).
struct WhatIfJob {
  PlanJob plan;
  placement::WaitingRun run;  // also one that is out of the queue
  std::function<void(std::vector<placement::Counterfactual>)> done;
};
std::vector<placement::Counterfactual> ThinkOver(WhatIfJob job, const placement::GoOn& go_on);

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_PLANNER_H_
