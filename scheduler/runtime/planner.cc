// See planner.h.
#include "scheduler/runtime/planner.h"

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <utility>

#include "absl/strings/strip.h"
#include "scheduler/runtime/plan_desk.h"

namespace trainyard::runtime {
namespace {

// Runs that are planned together: of one policy, with no run of another policy between them.
struct Group {
  const placement::Policy* policy = nullptr;
  std::vector<placement::WaitingRun> waiting;
};

// By priority, the highest first, whatever the policy: a queue's own policy says who comes first
// among its runs, not that its runs of low priority go before others of a higher one. At equal
// priority the runs of a policy stay together, and policies come in the order of their first runs.
std::vector<Group> GroupsOf(std::vector<placement::WaitingRun> waiting, const Policies& policies) {
  std::vector<const placement::Policy*> known;  // in the order of their first runs
  const auto rank_of = [&](const placement::WaitingRun& run) {
    const placement::Policy* const policy = &policies.Of(run.queue);
    const auto found = std::find_if(known.begin(), known.end(),
                                    [&](const auto* other) { return other->name == policy->name; });
    if (found != known.end()) return found - known.begin();
    known.push_back(policy);
    return static_cast<std::ptrdiff_t>(known.size()) - 1;
  };
  std::vector<std::tuple<int32_t, std::ptrdiff_t, size_t>> order;  // -priority, policy, place
  for (size_t i = 0; i < waiting.size(); ++i) {
    order.emplace_back(-waiting[i].priority, rank_of(waiting[i]), i);
  }
  std::sort(order.begin(), order.end());
  std::vector<Group> groups;
  for (const auto& [priority, policy, place] : order) {
    if (groups.empty() || groups.back().policy != known[static_cast<size_t>(policy)]) {
      groups.emplace_back().policy = known[static_cast<size_t>(policy)];
    }
    groups.back().waiting.push_back(std::move(waiting[place]));
  }
  return groups;
}

void TakeRoom(const placement::RunningRun::Slice& slice, std::vector<placement::NodeView>* nodes) {
  for (placement::NodeView& node : *nodes) {
    if (node.node_id != slice.node_id) continue;
    node.cpu_milli_free -= slice.cpu_milli;
    node.memory_free -= slice.memory_bytes;
    for (placement::DeviceView& device : node.devices) {
      const auto& uuids = slice.device_uuids;
      const bool taken = std::find(uuids.begin(), uuids.end(), device.uuid) != uuids.end();
      if (taken) device.milli_free -= slice.gpu_milli;
    }
  }
}

// The snapshot as it is after the plan: what was placed runs, what is preempted stops.
void Carry(const placement::Plan& plan, const std::vector<placement::WaitingRun>& waiting,
           placement::Snapshot* snapshot) {
  for (const placement::Placement& placement : plan.placements) {
    const auto run = std::find_if(waiting.begin(), waiting.end(), [&](const auto& waits) {
      return waits.run_uid == placement.run_uid;
    });
    if (run == waiting.end()) continue;
    placement::RunningRun running;
    static_cast<placement::RunView&>(running) = *run;
    running.started_us = snapshot->now_us;
    running.ranks = run->ranks;
    size_t ranks = 0;  // an elastic run may have started with the first of them
    for (const placement::PlannedMember& member : placement.members) ranks += member.ranks.size();
    running.ranks.resize(std::min(ranks, running.ranks.size()));
    for (const placement::PlannedMember& member : placement.members) {
      placement::RunningRun::Slice slice;
      slice.node_id = member.node_id;
      for (size_t i = 0; i < member.ranks.size(); ++i) {
        const placement::RankNeeds& needs = run->ranks[static_cast<size_t>(member.ranks[i])];
        slice.cpu_milli += needs.cpu_milli;
        slice.memory_bytes += needs.memory_bytes;
        if (needs.gpu_milli > 0) slice.gpu_milli = needs.gpu_milli;
        const auto& uuids = member.rank_devices[i];
        slice.device_uuids.insert(slice.device_uuids.end(), uuids.begin(), uuids.end());
      }
      TakeRoom(slice, &snapshot->nodes);
      running.slices.push_back(std::move(slice));
    }
    snapshot->running.push_back(std::move(running));
  }
  for (const placement::Preemption& preemption : plan.preemptions) {
    for (placement::RunningRun& run : snapshot->running) {
      if (run.run_uid == preemption.run_uid) run.stopping = true;
    }
  }
  for (const placement::Resize& resize : plan.resizes) {
    for (placement::RunningRun& run : snapshot->running) {
      if (run.run_uid == resize.run_uid && resize.for_run_uid != 0) run.stopping = true;
    }
  }
}

// What is held for a run that waits is not there for the runs of another group: their plan does not
// know that run.
void TakeHeld(const placement::Reservation& held, const placement::WaitingRun& run,
              std::vector<placement::NodeView>* nodes) {
  int32_t milli = 0;
  for (const placement::RankNeeds& needs : run.ranks) milli = std::max(milli, needs.gpu_milli);
  for (const placement::Reservation::Hold& hold : held.holds) {
    placement::RunningRun::Slice slice;
    slice.node_id = hold.node_id;
    slice.cpu_milli = hold.cpu_milli;
    slice.memory_bytes = hold.memory_bytes;
    slice.device_uuids = hold.device_uuids;
    if (milli > 0) slice.gpu_milli = milli;
    TakeRoom(slice, nodes);
  }
}

// Takes what `reservations` hold for runs of the group.
void TakeHeldFor(const Group& group, const std::vector<placement::Reservation>& reservations,
                 std::vector<placement::NodeView>* nodes) {
  for (const placement::Reservation& held : reservations) {
    if (held.kind != placement::ReservationKind::kGang) continue;
    const auto run = std::find_if(group.waiting.begin(), group.waiting.end(),
                                  [&](const auto& one) { return one.run_uid == held.run_uid; });
    if (run != group.waiting.end()) TakeHeld(held, *run, nodes);
  }
}

// Reservations of runs that hold devices are in the plan of every group.
void AppendReservations(std::vector<placement::Reservation>* from,
                        std::vector<placement::Reservation>* to) {
  for (placement::Reservation& made : *from) {
    const bool known = std::any_of(
        to->begin(), to->end(), [&](const auto& other) { return other.run_uid == made.run_uid; });
    if (!known) to->push_back(std::move(made));
  }
}

template <typename List>
void Append(List* from, List* to) {
  std::move(from->begin(), from->end(), std::back_inserter(*to));
}

}  // namespace

Policies PoliciesOf(const core::State& state, const placement::Policy& usual) {
  Policies policies;
  policies.usual = usual;
  for (auto it = state.settings.lower_bound("queues/");
       it != state.settings.end() && it->second->has_queue(); ++it) {
    const std::string& name = it->second->queue().policy();
    if (name.empty() || name == usual.name) continue;
    std::optional<placement::Policy> policy = placement::PolicyNamed(name);
    if (!policy.has_value()) continue;  // of a later version: the usual one
    policies.by_queue[std::string(absl::StripPrefix(it->first, "queues/"))] = *std::move(policy);
  }
  return policies;
}

const placement::Policy& Policies::Of(const std::string& queue) const {
  const auto own = by_queue.find(queue);
  return own == by_queue.end() ? usual : own->second;
}

placement::Plan MakeWholePlan(const placement::Snapshot& at_first, const Policies& policies,
                              bool explain) {
  if (policies.by_queue.empty()) return placement::MakePlan(at_first, policies.usual, explain);
  placement::Snapshot snapshot = at_first;
  placement::Plan whole;
  whole.memory = snapshot.memory;
  std::map<const placement::Policy*, int32_t> ahead;  // that wait, by policy
  std::vector<Group> groups = GroupsOf(std::move(snapshot.waiting), policies);
  for (size_t i = 0; i < groups.size(); ++i) {
    const std::vector<placement::NodeView> nodes = snapshot.nodes;
    for (size_t later = i + 1; later < groups.size(); ++later) {
      TakeHeldFor(groups[later], snapshot.reservations, &snapshot.nodes);
    }
    snapshot.waiting = std::move(groups[i].waiting);
    placement::Plan plan = placement::MakePlan(snapshot, *groups[i].policy, explain);
    groups[i].waiting = std::move(snapshot.waiting);
    snapshot.nodes = nodes;
    Carry(plan, groups[i].waiting, &snapshot);
    TakeHeldFor(groups[i], plan.reservations, &snapshot.nodes);
    int32_t& before = ahead[groups[i].policy];
    for (placement::Explanation& explanation : plan.explanations) explanation.position += before;
    before += static_cast<int32_t>(plan.explanations.size());
    Append(&plan.placements, &whole.placements);
    Append(&plan.preemptions, &whole.preemptions);
    Append(&plan.explanations, &whole.explanations);
    Append(&plan.resizes, &whole.resizes);
    AppendReservations(&plan.reservations, &whole.reservations);
    whole.memory = plan.memory;  // what this policy does not know of it handed on
    snapshot.memory.promised = std::move(plan.memory.promised);
    snapshot.memory.peaks = std::move(plan.memory.peaks);
    if (plan.wake_us > 0 && (whole.wake_us == 0 || plan.wake_us < whole.wake_us)) {
      whole.wake_us = plan.wake_us;
    }
  }
  return whole;
}

void ShareExplanations(PlanAnswer* answer) {
  answer->explanations.reserve(answer->plan.explanations.size());
  for (placement::Explanation& explanation : answer->plan.explanations) {
    if (explanation.reason == "NO_CAPACITY" || explanation.reason == "WAITING_FOR_NODES") {
      answer->hopeless.push_back(explanation.run_uid);
    }
    answer->explanations.push_back(
        std::make_shared<const placement::Explanation>(std::move(explanation)));
  }
  // Its memory is given back here, by who thinks: of long queues that takes milliseconds.
  std::vector<placement::Explanation>().swap(answer->plan.explanations);
}

PlanAnswer ThinkOver(PlanJob job) {
  if (job.desk != nullptr) return job.desk->Plan(job);
  PlanAnswer answer;
  answer.version = job.version;
  answer.epochs = std::move(job.epochs);
  answer.plan = MakeWholePlan(job.snapshot, job.policies);
  ShareExplanations(&answer);
  return answer;
}

namespace {

// The job's snapshot, with the run in it.
void FillSnapshot(const placement::WaitingRun& run, PlanJob* job) {
  if (job->desk != nullptr) job->snapshot = job->desk->Snapshot(*job);
  auto& waiting = job->snapshot.waiting;
  const bool listed = std::any_of(waiting.begin(), waiting.end(),
                                  [&](const auto& one) { return one.run_uid == run.run_uid; });
  if (!listed) waiting.push_back(run);
}

std::vector<placement::Counterfactual> ChangesFor(const placement::WaitingRun& run,
                                                  const PlanJob& job,
                                                  const placement::GoOn& go_on) {
  const placement::Starts starts = [&](const placement::Snapshot& changed) {
    const placement::Plan plan = MakeWholePlan(changed, job.policies, /*explain=*/false);
    return placement::StartsIn(plan, run.run_uid);
  };
  return placement::WhatIf(job.snapshot, job.policies.Of(run.queue), run.run_uid, starts, go_on);
}

}  // namespace

Preview ThinkOver(PreviewJob job, const placement::GoOn& go_on) {
  const uint64_t run_uid = job.run.run_uid;
  FillSnapshot(job.run, &job.plan);
  const placement::Plan plan = MakeWholePlan(job.plan.snapshot, job.plan.policies);
  Preview preview;
  for (const placement::Placement& placement : plan.placements) {
    if (placement.run_uid != run_uid) continue;
    preview.starts_now = true;
    for (const placement::PlannedMember& member : placement.members) {
      preview.nodes.push_back(member.node_id);
    }
  }
  for (const placement::Preemption& preemption : plan.preemptions) {
    preview.preempts += preemption.for_run_uid == run_uid ? 1 : 0;
  }
  for (const placement::Explanation& explanation : plan.explanations) {
    if (explanation.run_uid == run_uid) preview.explanation = explanation;
  }
  if (!placement::StartsIn(plan, run_uid)) preview.changes = ChangesFor(job.run, job.plan, go_on);
  return preview;
}

std::vector<placement::Counterfactual> ThinkOver(WhatIfJob job, const placement::GoOn& go_on) {
  FillSnapshot(job.run, &job.plan);
  return ChangesFor(job.run, job.plan, go_on);
}

}  // namespace trainyard::runtime
