// See cluster_book.h.
#include "scheduler/runtime/cluster_book.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/core/capacity.h"
#include "scheduler/core/overlap.h"
#include "scheduler/runtime/planner_view.h"

namespace trainyard::runtime {
namespace {

auto AgentsOf(const core::State& state) {
  return [&state](const std::string& node_id) -> core::AgentPtr {
    const auto found = state.agents.find(node_id);
    return found == state.agents.end() ? nullptr : found->second;
  };
}

constexpr int32_t kWhole = 1000;
constexpr char kNotLinked[] = "not connected";

std::string WhyNot(const journal::v1::AgentRow& agent, bool linked) {
  std::string reason = core::UnschedulableReason(agent);
  if (reason.empty() && !linked) reason = kNotLinked;
  return reason;
}

// A tuning job is charged as one: for its trials that ended, and for those that run.
void AddOwners(const core::State& state, placement::Snapshot* snapshot) {
  std::map<uint64_t, int64_t> attained;
  const auto add = [&](const placement::RunView& run) {
    const auto job = state.jobs.find(run.owner_uid);
    if (job == state.jobs.end() || job->second->study_uid() == 0) return;
    const auto [sum, is_new] = attained.try_emplace(run.owner_uid, 0);
    if (!is_new) return;
    const journal::v1::Used& used = job->second->used();
    sum->second = used.device_us() > 0 ? used.device_us()
                                       : used.cpu_us() / placement::Policy().cores_per_device;
  };
  for (const placement::WaitingRun& run : snapshot->waiting) add(run);
  for (const placement::RunningRun& run : snapshot->running) {
    add(run);
    const auto owner = attained.find(run.owner_uid);
    if (owner == attained.end()) continue;
    // What its earlier attempts used is in the job's sum already.
    const journal::v1::Used& used = state.runs.at(run.run_uid)->used();
    const int64_t before = used.device_us() > 0
                               ? used.device_us()
                               : used.cpu_us() / placement::Policy().cores_per_device;
    owner->second += run.attained_device_us - before;
  }
  for (const auto& [uid, device_us] : attained) snapshot->owners.push_back({uid, device_us});
}

}  // namespace

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
  const auto job = waits ? state.jobs.find(run->job_uid()) : state.jobs.end();
  const bool may_start = spec != state.specs.end() && job != state.jobs.end() &&
                         MayStart(state, *job->second, *spec->second) &&
                         !core::AwaitsRelease(*run, *spec->second, AgentsOf(state));
  Order place;
  if (may_start) {
    const int64_t priority = PriorityWithQueue(state, *job->second, *spec->second);
    place = {-priority, run->queued_us(), run_uid};
  }
  if (before == orders_.end()) {
    if (!may_start) return;
  } else {
    if (may_start && before->second == place) return;
    order_.erase(before->second);
    parked_.erase(run_uid);
    orders_.erase(before);
  }
  ++version_;
  if (!may_start) return;
  orders_[run_uid] = place;
  order_.insert(place);
}

void ClusterBook::UpdateRun(const core::State& state, uint64_t run_uid) {
  const auto found = state.runs.find(run_uid);
  const journal::v1::RunRow* run = found == state.runs.end() ? nullptr : found->second.get();
  UpdateHolds(run, run_uid);
  UpdateOrder(state, run, run_uid);
}

void ClusterBook::Park(const std::vector<uint64_t>& run_uids, uint64_t version) {
  if (version < nodes_changed_) return;
  for (const uint64_t run_uid : run_uids) {
    const auto order = orders_.find(run_uid);
    if (order == orders_.end() || order_.erase(order->second) == 0) continue;
    parked_[run_uid] = order->second;
  }
  if (!run_uids.empty() && !order_.empty()) ++version_;
}

bool ClusterBook::Waits(uint64_t run_uid) const {
  return orders_.contains(run_uid) && !parked_.contains(run_uid);
}

bool ClusterBook::linked(const std::string& node_id) const {
  const auto node = nodes_.find(node_id);
  return node != nodes_.end() && node->second.linked;
}

void ClusterBook::NodesChanged() {
  nodes_changed_ = ++version_;
  ++nodes_version_;
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
    node.view = EmptyNode(*found->second);
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

void ClusterBook::Fill(const core::State& state) {
  for (const uint64_t run_uid : state.waiting_runs) UpdateRun(state, run_uid);
  for (const uint64_t run_uid : state.active_runs) UpdateRun(state, run_uid);
  core::Touched agents;
  for (const auto& [node_id, agent] : state.agents) agents.agents.insert(node_id);
  Update(state, agents);
}

void ClusterBook::Update(const core::State& state, const core::Touched& touched) {
  for (const uint64_t run_uid : touched.runs) {
    const uint64_t before = version_;
    UpdateRun(state, run_uid);
    // Its place is what it was; what a plan makes of it may not be: another time limit, say.
    if (version_ == before && Waits(run_uid)) ++version_;
  }
  for (const std::string& node_id : touched.agents) {
    UpdateAgent(state, node_id);
    // A strict run waits until what it had there is gone, or the node is given up.
    const auto runs = state.runs_by_node.find(node_id);
    if (runs == state.runs_by_node.end()) continue;
    for (const uint64_t run_uid : runs->second) UpdateRun(state, run_uid);
  }
  if (touched.setting_keys.empty() && !touched.settings) return;
  // Rare: quotas, queues, reservations or projects changed. Everything is looked at again.
  for (const uint64_t run_uid : state.waiting_runs) UpdateRun(state, run_uid);
  NodesChanged();
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
    const auto job = state.jobs.find(found->second->job_uid());
    const auto spec = state.specs.find(found->second->job_uid());
    if (job == state.jobs.end() || spec == state.specs.end()) continue;
    snapshot.waiting.push_back(WaitingOf(state, *found->second, *job->second, *spec->second));
  }
  *truncated = snapshot.waiting.size() < order_.size();
  for (const uint64_t run_uid : state.active_runs) {
    const journal::v1::RunRow& run = *state.runs.at(run_uid);
    const auto job = state.jobs.find(run.job_uid());
    const auto spec = state.specs.find(run.job_uid());
    if (job == state.jobs.end() || spec == state.specs.end()) continue;
    snapshot.running.push_back(RunningOf(state, run, *job->second, *spec->second, now_us));
  }
  AddOwners(state, &snapshot);
  snapshot.quotas = QuotasOf(state);
  snapshot.reservations = ReservationsOf(state);
  return snapshot;
}

core::ApplyPlan ClusterBook::PlanCommand(const placement::Plan& plan, const Epochs& epochs) {
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
    core::PreemptedRun preempted;
    preempted.run_uid = preemption.run_uid;
    preempted.reason = preemption.reason;
    preempted.for_run_uid = preemption.for_run_uid;
    const auto epoch = epochs.find(preemption.run_uid);
    if (epoch != epochs.end()) preempted.epoch = epoch->second;
    command.preemptions.push_back(std::move(preempted));
  }
  for (const placement::Resize& resize : plan.resizes) {
    if (resize.for_run_uid == 0) continue;  // the core sees by itself when one can grow
    core::PreemptedRun& shrunk = command.preemptions.emplace_back();
    shrunk.run_uid = resize.run_uid;
    shrunk.reason = absl::StrCat("a run that goes first needs the devices; ", resize.ranks_to,
                                 " of its ", resize.ranks_from, " ranks stay");
    shrunk.for_run_uid = resize.for_run_uid;
    shrunk.shrinks = true;
    const auto epoch = epochs.find(resize.run_uid);
    if (epoch != epochs.end()) shrunk.epoch = epoch->second;
  }
  return command;
}

}  // namespace trainyard::runtime
