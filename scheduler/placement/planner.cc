// See planner.h: nodes, runs and owners coming and going.
#include "scheduler/placement/planner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace trainyard::placement {
namespace {

// Of the time since it was submitted: what it attained took that long at least, the rest it waited.
int64_t WaitedUs(const RunView& view, const Shape& shape, int64_t since_submitted_us) {
  const auto ran_us = static_cast<int64_t>(static_cast<double>(view.attained_device_us) /
                                           std::max(0.001, shape.devices));
  return std::max<int64_t>(0, since_submitted_us - ran_us);
}

}  // namespace

Planner::Planner(const Policy& policy)
    : policy_(policy),
      shapes_(policy),
      cluster_(&shapes_.names()),
      ripe_(static_cast<size_t>(policy.levels) + 2),
      ripe_runs_(ripe_.size()),
      ripe_all_(ripe_.size(), 0),
      ripe_version_(ripe_.size(), 0) {}

void Planner::SetNode(const NodeView& view) {
  NodesChanged();
  const int32_t node = cluster_.SetNode(view);
  for (auto& level : ripe_) level.resize(static_cast<size_t>(cluster_.size()));
  for (auto& level : ripe_runs_) level.resize(static_cast<size_t>(cluster_.size()));
  for (const int32_t holder : cluster_.node(node).holders) {
    if (run(holder).state != State::kStopping) continue;
    for (const Slice& slice : run(holder).held->slices) {
      if (slice.node != node) continue;
      cluster_.Give(slice);
      cluster_.Leave(slice, true);
    }
  }
  for (const int32_t claimed : claims_) {
    for (const Slice& slice : *run(claimed).claim) {
      if (slice.node == node) cluster_.Take(slice);
    }
  }
  if (!view.schedulable) SetSchedulable(view.node_id, false);
}

void Planner::NodesChanged() {
  changed_ = true;
  capacity_known_ = false;
  empty_.reset();
  possible_.clear();
  models_here_.clear();
  windows_known_ = false;
}

void Planner::RemoveNode(const std::string& node_id) {
  SetSchedulable(node_id, false);
  const int32_t node = cluster_.Find(node_id);
  if (node >= 0) cluster_.RemoveNode(node);
}

void Planner::SetSchedulable(const std::string& node_id, bool schedulable) {
  const int32_t node = cluster_.Find(node_id);
  if (node < 0) return;
  NodesChanged();
  cluster_.SetSchedulable(node, schedulable);
  if (schedulable) return;
  if (cluster_.node(node).kept_for != 0) {
    const auto kept = by_uid_.find(cluster_.node(node).kept_for);
    if (kept != by_uid_.end()) DropKept(kept->second);
    cluster_.KeepFor(node, 0, 0, 0);
  }
  const std::set<int32_t> claims = claims_;
  for (const int32_t claimed : claims) {
    const Slices& slices = *run(claimed).claim;
    const bool there = std::any_of(slices.begin(), slices.end(),
                                   [node](const Slice& slice) { return slice.node == node; });
    if (!there) continue;
    DropClaim(&run(claimed));
    Enqueue(claimed);
  }
}

void Planner::SetQuotas(const std::vector<QuotaNode>& quotas) {
  quota_.Set(quotas, &shapes_.names());
  changed_ = true;
}

void Planner::SetOwner(const OwnerView& view, int64_t now_us) {
  if (policy_.order == OrderBy::kFair) return;  // studies are their users'
  RunView as_run;
  as_run.run_uid = 0;
  as_run.owner_uid = view.owner_uid;
  const int32_t index = OwnerOf(as_run, now_us);
  Owner& owner = owners_[static_cast<size_t>(index)];
  owner.attained_us = view.attained_device_us;
  owner.at_us = now_us;
  owner.shared = true;
  owner.told = true;
}

void Planner::SetReservations(const std::vector<Reservation>& reservations) {
  std::map<int32_t, std::vector<Window>> windows;
  for (const Reservation& reservation : reservations) {
    if (reservation.kind == ReservationKind::kGang) continue;
    for (const Reservation::Hold& hold : reservation.holds) {
      const int32_t node = cluster_.Find(hold.node_id);
      if (node < 0) continue;
      const int32_t calendar =
          reservation.kind == ReservationKind::kCalendar ? shapes_.names().Id(reservation.id) : 0;
      windows[node].push_back({reservation.start_us, reservation.end_us, calendar, false});
    }
  }
  for (int32_t node = 0; node < cluster_.size(); ++node) {
    std::vector<Window> all = std::move(windows[node]);
    for (const Window& window : cluster_.node(node).windows) {
      if (window.leaves) all.push_back(window);
    }
    cluster_.SetWindows(node, std::move(all));
  }
  NodesChanged();
}

int32_t Planner::Slot(uint64_t uid) {
  const auto [found, is_new] = by_uid_.try_emplace(uid, 0);
  if (!is_new) return found->second;
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<int32_t>(runs_.size()));
    runs_.emplace_back();
  }
  found->second = free_slots_.back();
  free_slots_.pop_back();
  const uint32_t version = run(found->second).version;
  run(found->second) = Run{};
  run(found->second).version = version + 1;
  run(found->second).uid = uid;
  return found->second;
}

int32_t Planner::OwnerOf(const RunView& view, int64_t now_us) {
  uint64_t uid = view.owner_uid == view.run_uid ? 0 : view.owner_uid;
  if (policy_.order == OrderBy::kFair) {  // the user
    const std::string user = absl::StrCat("user\n", view.principal);
    uid = static_cast<uint64_t>(shapes_.names().Id(user));
  }
  if (uid == 0) return kNone;
  const bool fair = policy_.order == OrderBy::kFair;
  const int64_t weight =
      fair ? quota_.WeightOf(quota_.Leaf(view.team, view.project, view.principal)) : 1;
  const auto [found, is_new] = owner_by_uid_.try_emplace(uid, 0);
  if (!is_new) {  // of several projects: its largest weight
    Owner& known = owners_[static_cast<size_t>(found->second)];
    active_weight_ += std::max<int64_t>(0, weight - known.weight);
    known.weight = std::max(known.weight, weight);
    return found->second;
  }
  if (free_owners_.empty()) {
    free_owners_.push_back(static_cast<int32_t>(owners_.size()));
    owners_.emplace_back();
  }
  found->second = free_owners_.back();
  free_owners_.pop_back();
  Owner& owner = owners_[static_cast<size_t>(found->second)];
  owner = Owner{};
  owner.uid = uid;
  owner.at_us = now_us;
  owner.shared = fair;
  owner.weight = weight;
  active_weight_ += owner.weight;
  return found->second;
}

void Planner::LeaveOwner(Run* of) {
  if (of->owner < 0) return;
  Owner& owner = owners_[static_cast<size_t>(of->owner)];
  if (--owner.runs == 0) {
    active_weight_ -= owner.weight;
    owner_by_uid_.erase(owner.uid);
    free_owners_.push_back(of->owner);
  }
  of->owner = kNone;
}

void Planner::Describe(const RunView& view, int32_t index, int64_t now_us) {
  Run& of = run(index);
  of.priority = view.priority;
  of.preemptible = view.preemptible;
  of.limit_us = view.time_limit_us;
  of.guess_us = view.guess.middle_us;
  of.attained_us = std::max(of.attained_us, view.attained_device_us);
  of.leaf = quota_.Leaf(view.team, view.project, view.principal);
  const int32_t owner = OwnerOf(view, now_us);
  if (of.owner == owner) return;
  LeaveOwner(&of);
  of.owner = owner;
  if (owner < 0) return;
  Owner& its = owners_[static_cast<size_t>(owner)];
  const bool shared = its.shared;
  its.shared |= ++its.runs > 1;
  if (its.shared != shared) {
    for (const int32_t running : its.running) {
      run(running).held->ripening = false;
      CountRipe(running);
    }
  }
  if (!its.told) its.attained_us += view.attained_device_us;
}

void Planner::SetGuess(uint64_t run_uid, const RunTimeGuess& guess) {
  const auto found = by_uid_.find(run_uid);
  if (found != by_uid_.end()) run(found->second).guess_us = guess.middle_us;
}

void Planner::AddWaiting(const WaitingRun& view, int64_t now_us) {
  now_us_ = std::max(now_us_, now_us);
  changed_ = true;
  const bool known = by_uid_.contains(view.run_uid);
  const int32_t index = Slot(view.run_uid);
  Run& of = run(index);
  if (of.state == State::kRunning || of.state == State::kStopping) Release(index);
  if (of.state == State::kWaiting) {
    DropKept(index);  // it may have changed
    if (of.claim != nullptr) DropClaim(&of);
    Dequeue(index);
    demand_milli_ -= shape(of).charge_milli;
    --waiting_;
  }
  if (of.front) front_milli_ -= shape(of).charge_milli;
  of.shape = of.next_shape != kNone ? of.next_shape : shapes_.Of(view);
  of.next_shape = kNone;
  if (of.front) front_milli_ += shape(of).charge_milli;
  if (!known) {
    of.submitted_us = view.submitted_us > 0 ? view.submitted_us : view.queued_us;
    of.wait_from_us = view.queued_us > 0 ? view.queued_us : now_us;
    of.waited_us = WaitedUs(view, shape(of), of.wait_from_us - of.submitted_us);
  }
  Describe(view, index, now_us);
  of.hold = view.hold;
  of.level = static_cast<int8_t>(LevelOf(of));
  of.state = State::kWaiting;
  demand_milli_ += shape(of).charge_milli;
  ++waiting_;
  const bool kept = of.claim != nullptr &&
                    std::all_of(of.claim->begin(), of.claim->end(), [&](const Slice& slice) {
                      return cluster_.node(slice.node).schedulable;
                    });
  if (kept) {
    ListClaim(index);
    return;
  }
  if (of.claim != nullptr) DropClaim(&of);
  Enqueue(index);
}

void Planner::AddRunning(const RunningRun& view, int64_t now_us) {
  now_us_ = std::max(now_us_, now_us);
  changed_ = true;
  const int32_t index = Slot(view.run_uid);
  Run& of = run(index);
  if (of.state != State::kGone) return;  // the planner started it
  of.shape = shapes_.Of(view);
  of.submitted_us = view.submitted_us > 0 ? view.submitted_us : view.started_us;
  of.waited_us = WaitedUs(view, shape(of), now_us_ - of.submitted_us);
  Describe(view, index, now_us);
  Slices slices;
  for (const RunningRun::Slice& from : view.slices) {
    const int32_t node = cluster_.Find(from.node_id);
    if (node < 0) continue;
    Slice slice;
    slice.node = node;
    slice.cpu_milli = from.cpu_milli;
    slice.memory_bytes = from.memory_bytes;
    slice.gpu_milli = from.gpu_milli;
    const std::vector<std::string>& uuids = *cluster_.node(node).uuids;
    for (const std::string& uuid : from.device_uuids) {
      for (size_t i = 0; i < uuids.size(); ++i) {
        if (uuids[i] == uuid) slice.devices.push_back(static_cast<int16_t>(i));
      }
    }
    slices.push_back(std::move(slice));
  }
  demand_milli_ += shape(of).charge_milli;
  // Service until now is in attained_us; from here on it is counted from now.
  Begin(index, std::move(slices));
  of.held->started_us = view.started_us;
  of.held->ripening = false;  // by when it really started
  of.held->counted_from_us = now_us_;
  of.held->last_checkpoint_us = view.last_checkpoint_us;
  of.held->rung_ended = view.rung_ended;
  if (view.min_run_us >= 0) of.held->min_run_us = view.min_run_us;
  CountRipe(index);
  if (view.stopping) Halt(index, /*given=*/false);
}

void Planner::Begin(int32_t index, Slices slices) {
  Run& of = run(index);
  of.state = State::kRunning;
  of.held = std::make_unique<Held>();
  of.held->slices = std::move(slices);
  of.held->use = UseOf(of.held->slices);
  of.held->started_us = now_us_;
  of.held->counted_from_us = now_us_;
  of.held->firm = !of.preemptible;
  firm_ += of.held->firm ? 1 : 0;
  DropKept(index);
  quota_.Add(of.leaf, of.held->use, +1);
  if (of.owner >= 0) {
    Owner& owner = owners_[static_cast<size_t>(of.owner)];
    owner.attained_us = OwnerAttainedUs(owner);
    owner.at_us = now_us_;
    owner.held_milli += shape(of).charge_milli;
    owner.running.insert(index);
    CheckOwner(of.owner);
    Stand(of, +1);
  }
  of.level = static_cast<int8_t>(LevelOf(of));
  Attach(index, +1);
  if (shape(of).elastic_min > 0) elastic_.insert(index);
  ++of.version;
  PlanSink(index);
  CountRipe(index);
}

void Planner::Attach(int32_t index, int sign) {
  int32_t last = kNone;
  for (const Slice& slice : run(index).held->slices) {
    if (slice.node == last) continue;
    last = slice.node;
    std::vector<int32_t>& holders = cluster_.node(slice.node).holders;
    const auto found = std::find(holders.begin(), holders.end(), index);
    if (sign > 0 && found == holders.end()) holders.push_back(index);
    if (sign < 0 && found != holders.end()) holders.erase(found);
  }
}

void Planner::Halt(int32_t index, bool given) {
  Run& of = run(index);
  if (of.state != State::kRunning) return;
  of.state = State::kStopping;
  Stand(of, -1);
  firm_ -= std::exchange(of.held->firm, false) ? 1 : 0;
  of.fresh = false;
  CountRipe(index);
  for (const Slice& slice : of.held->slices) {
    if (!given) cluster_.Give(slice);
    cluster_.Leave(slice, true);
  }
  if (given) cluster_.Grow();
}

void Planner::Release(int32_t index) {
  Run& of = run(index);
  const bool stopping = of.state == State::kStopping;
  of.attained_us = AttainedUs(of);
  of.state = State::kGone;
  firm_ -= std::exchange(of.held->firm, false) ? 1 : 0;
  CountRipe(index);
  for (const Slice& slice : of.held->slices) {
    if (stopping) {
      cluster_.Leave(slice, false);
    } else {
      cluster_.Give(slice);
    }
  }
  quota_.Add(of.leaf, of.held->use, -1);
  Attach(index, -1);
  elastic_.erase(index);
  if (of.owner >= 0) {
    Owner& owner = owners_[static_cast<size_t>(of.owner)];
    owner.peak_us = ChargedUs(owner);
    owner.attained_us = OwnerAttainedUs(owner);
    owner.at_us = now_us_;
    owner.held_milli -= shape(of).charge_milli;
    owner.running.erase(index);
    CheckOwner(of.owner);
    if (!stopping) Stand(of, -1);
  }
  of.held.reset();
  of.wait_from_us = now_us_;
  of.fresh = false;
  ++of.version;
  demand_milli_ -= shape(of).charge_milli;
}

void Planner::DropClaim(Run* of) {
  for (const Slice& slice : *of->claim) cluster_.Give(slice);
  quota_.Add(of->leaf, UseOf(*of->claim), -1);
  UnlistClaim(by_uid_.at(of->uid));
  of->claim.reset();
}

void Planner::Remove(uint64_t uid, int64_t now_us) {
  now_us_ = std::max(now_us_, now_us);
  const auto found = by_uid_.find(uid);
  if (found == by_uid_.end()) return;
  changed_ = true;
  const int32_t index = found->second;
  Run& of = run(index);
  DropKept(index);
  if (of.claim != nullptr) DropClaim(&of);
  if (of.held != nullptr) {
    Release(index);
  } else {
    Dequeue(index);
    demand_milli_ -= shape(of).charge_milli;
    --waiting_;
  }
  if (of.promised) FrontRemove(index);
  LeaveOwner(&of);
  of.state = State::kGone;
  ++of.version;
  by_uid_.erase(found);
  free_slots_.push_back(index);
}

void Planner::Stopping(uint64_t uid, int64_t now_us) {
  now_us_ = std::max(now_us_, now_us);
  const auto found = by_uid_.find(uid);
  if (found == by_uid_.end() || run(found->second).state != State::kRunning) return;
  Halt(found->second, /*given=*/false);
  changed_ = true;
}

void Planner::Checkpointed(uint64_t uid, int64_t at_us) {
  const auto found = by_uid_.find(uid);
  if (found == by_uid_.end() || run(found->second).held == nullptr) return;
  run(found->second).held->last_checkpoint_us = at_us;
}

Use Planner::UseOf(const Slices& slices) const {
  Use use;
  const auto add = [&use](int32_t model, int64_t milli) {
    for (auto& [known, sum] : use) {
      if (known == model) {
        sum += milli;
        return;
      }
    }
    use.emplace_back(model, milli);
  };
  if (quota_.empty()) return use;
  for (const Slice& slice : slices) {
    const Node& node = cluster_.node(slice.node);
    for (const int16_t position : slice.devices) {
      const int32_t model = node.devices[static_cast<size_t>(position)].model;
      if (model != 0) add(model, slice.gpu_milli);
      add(0, slice.gpu_milli);
    }
    if (slice.cpu_milli > 0) add(kCores, slice.cpu_milli);
  }
  return use;
}

}  // namespace trainyard::placement
