// See cluster_book.h.
#include "scheduler/runtime/cluster_book.h"

#include <utility>

#include "scheduler/core/capacity.h"
#include "scheduler/core/ranks.h"

namespace trainyard::runtime {
namespace {

constexpr int32_t kWhole = 1000;
constexpr char kNotLinked[] = "not connected";

std::string WhyNot(const journal::v1::AgentRow& agent, bool linked) {
  std::string reason = core::UnschedulableReason(agent);
  if (reason.empty() && !linked) reason = kNotLinked;
  return reason;
}

placement::NodeView ViewOf(const journal::v1::AgentRow& agent) {
  placement::NodeView view;
  view.node_id = agent.node_id();
  view.cpu_milli_total = view.cpu_milli_free = int64_t{1000} * agent.inventory().cores();
  view.memory_total = view.memory_free = agent.inventory().memory_bytes();
  view.labels.insert(agent.inventory().labels().begin(), agent.inventory().labels().end());
  for (const trainyard::v1::Device& device : agent.inventory().devices()) {
    placement::DeviceView& added = view.devices.emplace_back();
    added.uuid = device.uuid();
    added.model = device.model();
    added.index = device.index();
    added.memory_bytes = device.memory_bytes();
    added.numa_node = device.numa_node();
    added.link_island = device.link_island();
    added.milli_free = kWhole;
    added.healthy = device.healthy();
    added.parent_uuid = device.parent();
  }
  return view;
}

}  // namespace

std::vector<placement::RankNeeds> ClusterBook::NeedsOf(const trainyard::v1::JobSpec& spec) {
  std::vector<placement::RankNeeds> ranks;
  for (const core::RankNeed& need : core::RanksOf(spec)) {
    placement::RankNeeds needs;
    needs.cpu_milli = need.cpu_milli;
    needs.memory_bytes = need.memory_bytes;
    needs.gpu_count = need.gpu_count;
    needs.gpu_milli = need.gpu_milli;
    if (need.resources != nullptr) {
      needs.gpu_models.assign(need.resources->gpu_models().begin(),
                              need.resources->gpu_models().end());
    }
    ranks.push_back(std::move(needs));
  }
  return ranks;
}

void ClusterBook::Take(const Held& held, int sign) {
  placement::NodeView& view = nodes_[held.node_id].view;
  view.cpu_milli_free -= sign * held.cpu_milli;
  view.memory_free -= sign * held.memory_bytes;
  for (const std::string& uuid : held.device_uuids) {
    for (placement::DeviceView& device : view.devices) {
      if (device.uuid == uuid) device.milli_free -= sign * held.gpu_milli;
    }
  }
}

void ClusterBook::UpdateHolds(const journal::v1::RunRow* run, uint64_t run_uid) {
  std::vector<Held> now;
  if (run != nullptr) {
    core::ForEachHold(*run, [&](const journal::v1::MemberRow& member) {
      now.push_back({member.node_id(),
                     member.cpu_milli(),
                     member.memory_bytes(),
                     {member.device_uuids().begin(), member.device_uuids().end()},
                     member.gpu_milli() > 0 ? static_cast<int32_t>(member.gpu_milli()) : kWhole});
    });
  }
  const auto before = held_.find(run_uid);
  if (before == held_.end() ? now.empty() : before->second == now) return;
  ++version_;
  if (before != held_.end()) {
    for (const Held& slice : before->second) Take(slice, -1);
    held_.erase(before);
  }
  for (const Held& slice : now) Take(slice, 1);
  if (!now.empty()) held_[run_uid] = std::move(now);
}

void ClusterBook::UpdateOrder(const core::State& state, const journal::v1::RunRow* run,
                              uint64_t run_uid) {
  const auto before = orders_.find(run_uid);
  const bool waits = run != nullptr && run->state() == journal::v1::R_WAITING;
  const auto spec = waits ? state.specs.find(run->job_uid()) : state.specs.end();
  if (spec == state.specs.end()) {
    if (before == orders_.end()) return;
    order_.erase(before->second);
    parked_.erase(run_uid);
    orders_.erase(before);
    ++version_;
    return;
  }
  const trainyard::v1::Scheduling& scheduling = spec->second->scheduling();
  const Order place{-int64_t{scheduling.priority()}, run->queued_us(), run_uid};
  if (before != orders_.end()) {
    if (before->second == place) return;
    order_.erase(before->second);
    parked_.erase(run_uid);
  }
  ++version_;
  orders_[run_uid] = place;
  if (!scheduling.hold()) order_.insert(place);
}

void ClusterBook::UpdateRun(const core::State& state, uint64_t run_uid) {
  const auto found = state.runs.find(run_uid);
  const journal::v1::RunRow* run = found == state.runs.end() ? nullptr : found->second.get();
  UpdateHolds(run, run_uid);
  UpdateOrder(state, run, run_uid);
}

void ClusterBook::Park(const std::vector<uint64_t>& run_uids) {
  for (const uint64_t run_uid : run_uids) {
    const auto order = orders_.find(run_uid);
    if (order == orders_.end() || order_.erase(order->second) == 0) continue;
    parked_[run_uid] = order->second;
  }
  if (!run_uids.empty() && !order_.empty()) ++version_;
}

void ClusterBook::NodesChanged() {
  ++version_;
  for (const auto& [run_uid, order] : parked_) order_.insert(order);
  parked_.clear();
}

void ClusterBook::UpdateAgent(const core::State& state, const std::string& node_id) {
  Node& node = nodes_[node_id];
  const auto found = state.agents.find(node_id);
  if (found == state.agents.end()) return;
  // Most changes of an agent's row are facts that were counted: nothing of it matters here.
  std::string inventory = found->second->inventory().SerializeAsString();
  if (!node.known || inventory != node.inventory) {
    node.known = true;
    node.inventory = std::move(inventory);
    node.view = ViewOf(*found->second);
    for (const auto& [run_uid, slices] : held_) {
      for (const Held& held : slices) {
        if (held.node_id == node_id) Take(held, 1);
      }
    }
    NodesChanged();
  }
  const std::string reason = WhyNot(*found->second, node.linked);
  if (reason != node.view.unschedulable_reason || reason.empty() != node.view.schedulable) {
    NodesChanged();
  }
  node.view.unschedulable_reason = reason;
  node.view.schedulable = reason.empty();
}

void ClusterBook::Update(const core::State& state, const core::Touched& touched) {
  for (const uint64_t run_uid : touched.runs) UpdateRun(state, run_uid);
  for (const std::string& node_id : touched.agents) UpdateAgent(state, node_id);
}

void ClusterBook::SetLinked(const std::string& node_id, bool linked) {
  Node& node = nodes_[node_id];
  if (node.linked == linked) return;
  node.linked = linked;
  NodesChanged();
  if (!linked && node.view.schedulable) {
    node.view.schedulable = false;
    node.view.unschedulable_reason = kNotLinked;
  } else if (linked && node.view.unschedulable_reason == kNotLinked) {
    node.view.schedulable = true;
    node.view.unschedulable_reason.clear();
  }
}

placement::Snapshot ClusterBook::Snapshot(const core::State& state, size_t most, int64_t now_us,
                                          bool* truncated) const {
  placement::Snapshot snapshot;
  snapshot.now_us = now_us;
  for (const auto& [id, node] : nodes_) {
    if (node.known) snapshot.nodes.push_back(node.view);
  }
  for (const Order& order : order_) {
    if (snapshot.waiting.size() == most) break;
    const auto found = state.runs.find(std::get<2>(order));
    if (found == state.runs.end()) continue;
    const journal::v1::RunRow& run = *found->second;
    const auto job = state.jobs.find(run.job_uid());
    const auto spec = state.specs.find(run.job_uid());
    if (job == state.jobs.end() || spec == state.specs.end()) continue;
    placement::WaitingRun waiting;
    waiting.run_uid = run.uid();
    waiting.owner_uid = run.job_uid();
    waiting.project = job->second->project();
    waiting.principal = job->second->principal();
    waiting.ranks = NeedsOf(*spec->second);
    waiting.spread = spec->second->launch().placement() == trainyard::v1::SPREAD;
    waiting.priority = spec->second->scheduling().priority();
    waiting.queued_us = run.queued_us();
    waiting.avoid_nodes.assign(run.failed_nodes().begin(), run.failed_nodes().end());
    waiting.preemptible = spec->second->scheduling().preemptible();
    if (spec->second->launch().min_replicas() > 0) {
      waiting.ranks_min = core::FewestRanks(*spec->second);
    }
    snapshot.waiting.push_back(std::move(waiting));
  }
  *truncated = snapshot.waiting.size() < order_.size();
  return snapshot;
}

core::ApplyPlan ClusterBook::PlanCommand(const placement::Plan& plan) {
  core::ApplyPlan command;
  for (const placement::Placement& placement : plan.placements) {
    core::PlacedRun placed;
    placed.run_uid = placement.run_uid;
    for (const placement::PlannedMember& planned : placement.members) {
      journal::v1::MemberRow member;
      member.set_member(static_cast<int32_t>(placed.members.size()));
      member.set_node_id(planned.node_id);
      for (size_t i = 0; i < planned.ranks.size(); ++i) {
        agent::v1::RankSlot* slot = member.add_ranks();
        slot->set_rank(planned.ranks[i]);
        slot->set_local_rank(static_cast<int32_t>(i));
        for (const std::string& uuid : planned.rank_devices[i]) slot->add_device_uuids(uuid);
      }
      placed.members.push_back(std::move(member));
    }
    command.placements.push_back(std::move(placed));
  }
  for (const placement::Preemption& preemption : plan.preemptions) {
    command.preemptions.emplace_back(preemption.run_uid, preemption.reason);
  }
  return command;
}

}  // namespace trainyard::runtime
