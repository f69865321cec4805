// See planner.h.
#include "scheduler/runtime/planner.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/strip.h"

namespace trainyard::runtime {
namespace {

// Runs that are planned together, and the highest priority among them.
struct Group {
  const placement::Policy* policy = nullptr;
  int32_t priority = std::numeric_limits<int32_t>::min();
  std::vector<placement::WaitingRun> waiting;
};

std::vector<Group> GroupsOf(std::vector<placement::WaitingRun> waiting, const Policies& policies) {
  std::vector<Group> groups;
  for (placement::WaitingRun& run : waiting) {
    const auto own = policies.by_queue.find(run.queue);
    const placement::Policy* policy =
        own == policies.by_queue.end() ? &policies.usual : &own->second;
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& known) {
      return known.policy->name == policy->name;
    });
    if (group == groups.end()) {
      groups.emplace_back().policy = policy;
      group = groups.end() - 1;
    }
    group->priority = std::max(group->priority, run.priority);
    group->waiting.push_back(std::move(run));
  }
  std::stable_sort(groups.begin(), groups.end(),
                   [](const Group& a, const Group& b) { return a.priority > b.priority; });
  return groups;
}

void TakeRoom(const placement::RunningRun::Slice& slice, placement::Snapshot* snapshot) {
  for (placement::NodeView& node : snapshot->nodes) {
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
      TakeRoom(slice, snapshot);
      running.slices.push_back(std::move(slice));
    }
    snapshot->running.push_back(std::move(running));
  }
  for (const placement::Preemption& preemption : plan.preemptions) {
    for (placement::RunningRun& run : snapshot->running) {
      if (run.run_uid == preemption.run_uid) run.stopping = true;
    }
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

placement::Plan MakeWholePlan(placement::Snapshot snapshot, const Policies& policies) {
  if (policies.by_queue.empty()) return placement::MakePlan(snapshot, policies.usual);
  placement::Plan whole;
  const std::vector<placement::Reservation> before = snapshot.reservations;
  for (Group& group : GroupsOf(std::move(snapshot.waiting), policies)) {
    snapshot.waiting = std::move(group.waiting);
    // Everybody's reservations stand; those of this group's runs are decided anew by its plan.
    placement::Plan plan = placement::MakePlan(snapshot, *group.policy);
    Carry(plan, snapshot.waiting, &snapshot);
    for (const placement::Reservation& made : plan.reservations) {
      const auto known = std::find_if(
          snapshot.reservations.begin(), snapshot.reservations.end(), [&](const auto& reservation) {
            return reservation.kind == placement::ReservationKind::kGang &&
                   reservation.run_uid == made.run_uid;
          });
      if (known == snapshot.reservations.end()) snapshot.reservations.push_back(made);
    }
    Append(&plan.placements, &whole.placements);
    Append(&plan.preemptions, &whole.preemptions);
    Append(&plan.explanations, &whole.explanations);
    Append(&plan.resizes, &whole.resizes);
    Append(&plan.reservations, &whole.reservations);
    if (plan.wake_us > 0 && (whole.wake_us == 0 || plan.wake_us < whole.wake_us)) {
      whole.wake_us = plan.wake_us;
    }
  }
  return whole;
}

PlanAnswer ThinkOver(PlanJob job) {
  PlanAnswer answer;
  answer.version = job.version;
  answer.epochs = std::move(job.epochs);
  answer.plan = MakeWholePlan(std::move(job.snapshot), job.policies);
  return answer;
}

Preview ThinkOver(PreviewJob job) {
  const placement::Plan plan = MakeWholePlan(std::move(job.plan.snapshot), job.plan.policies);
  Preview preview;
  for (const placement::Placement& placement : plan.placements) {
    if (placement.run_uid != job.run_uid) continue;
    preview.starts_now = true;
    for (const placement::PlannedMember& member : placement.members) {
      preview.nodes.push_back(member.node_id);
    }
  }
  for (const placement::Preemption& preemption : plan.preemptions) {
    preview.preempts += preemption.for_run_uid == job.run_uid ? 1 : 0;
  }
  for (const placement::Explanation& explanation : plan.explanations) {
    if (explanation.run_uid == job.run_uid) preview.explanation = explanation;
  }
  return preview;
}

}  // namespace trainyard::runtime
