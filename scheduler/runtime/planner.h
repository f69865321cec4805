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

namespace trainyard::runtime {

struct Policies {
  placement::Policy usual;
  std::map<std::string, placement::Policy> by_queue;  // only of queues with their own
  bool what_ifs = true;                               // explanations say what would start a run
};
// Policies of the queues in `state`, beside the usual one.
Policies PoliciesOf(const core::State& state, const placement::Policy& usual);

// One plan for everybody. Queues with their own policy are planned apart: runs of one policy and
// neighbouring priorities together, the highest first, each group with what those before it took
// and without what is held for runs of others.
placement::Plan MakeWholePlan(placement::Snapshot snapshot, const Policies& policies);

// A whole look at the queue, for a planner thread.
struct PlanJob {
  placement::Snapshot snapshot;
  Policies policies;
  std::map<uint64_t, uint64_t> epochs;  // of the attempts in it, by run
  uint64_t version = 0;
};
struct PlanAnswer {
  placement::Plan plan;
  std::map<uint64_t, uint64_t> epochs;
  uint64_t version = 0;
};
PlanAnswer ThinkOver(PlanJob job);

// What would become of one more run.
struct Preview {
  bool starts_now = false;
  std::vector<std::string> nodes;      // where
  int preempts = 0;                    // runs that would be stopped for it first
  placement::Explanation explanation;  // when it does not start
};
struct PreviewJob {
  PlanJob plan;
  uint64_t run_uid = 0;
  std::function<void(absl::StatusOr<Preview>)> done;
};
Preview ThinkOver(PreviewJob job);

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_PLANNER_H_
