// Nodes kept for a gang whose turn it is while runs that may not be preempted are in its way, or
// which was promised its start long ago and still finds only runs too young to be stopped: the
// reservation of EASY backfill (Lifka, JSSPP 1995) without knowledge of run times. Where all those
// in the way have time limits, others that end before the last of them still start there; whatever
// can be told to stop starts there in any case. See planner.h.
//  - A node is kept for one run at a time; a run of higher priority uses it nevertheless.
//  - Kept nodes are part of the plan's reservations (holds without devices) and come back with the
//    next snapshot, so that a reservation once made does not move.
#include <algorithm>
#include <tuple>

#include "scheduler/placement/planner.h"

namespace trainyard::placement {
namespace {

// Nodes that were looked for in vain are looked for again after this time: the look is a long one.
constexpr int64_t kKeepAgainUs = 60'000'000;
// A promised run waits for victims to become old enough; after so many minimum run times it is
// clear that others take their places before they do.
constexpr int64_t kPatience = 4;

}  // namespace

// One whole device at most is found by whoever is first in the queue when it becomes free.
bool Planner::WantsKeeping(const Run& of) const {
  const Shape& wanted = shape(of);
  const Needs& needs = wanted.groups.front().needs;
  return wanted.rank_count > 1 || needs.gpu_count > 1 || !needs.wants_device();
}

// Whether a holder stands in the way of a run and cannot be told to stop for it.
bool Planner::Firm(int32_t index, uint64_t by_uid) const {
  const Run& of = run(index);
  return of.uid != by_uid && of.state == State::kRunning && of.held->firm;
}

// Whether it was promised its start, and victims should have been found since.
bool Planner::IsOverdue(const Run& of) const {
  if (!of.front) return false;
  const auto waited = static_cast<double>(of.waited_us + now_us_ - of.wait_from_us);
  const double due = LimitUs() * (shape(of).gang ? policy_.gang_aging : 1);
  return waited >= due + static_cast<double>(kPatience * policy_.min_run_us);
}

void Planner::Keep(int32_t index) {
  const Run& of = run(index);
  if (policy_.keep_share <= 0 || kept_.contains(index) || !WantsKeeping(of)) return;
  const bool overdue = IsOverdue(of);
  if (firm_ == 0 && !overdue) return;
  Group& group = groups_[static_cast<size_t>(lines_[static_cast<size_t>(of.line)].group)];
  if (now_us_ < group.keep_again_us) return;
  KnowCapacity();
  const double most = policy_.keep_share * static_cast<double>(capacity_milli_);
  if (!kept_.empty() && static_cast<double>(kept_milli_ + shape(of).charge_milli) > most) return;
  group.keep_again_us = now_us_ + kKeepAgainUs;
  Terms terms = TermsOf(of);
  terms.preemptible = false;  // nodes kept for others are out of the question
  // Least to wait for first: nobody unbounded, few devices of those, the earliest known end.
  std::vector<std::tuple<int64_t, int64_t, int32_t>> order;
  for (int32_t i = 0; i < cluster_.size(); ++i) {
    if (!cluster_.Admits(cluster_.node(i), shape(of), terms)) continue;
    int64_t unbounded = 0;
    int64_t end_us = 0;
    for (const int32_t holder : cluster_.node(i).holders) {
      if (!Firm(holder, of.uid)) continue;
      const Run& other = run(holder);
      if (other.limit_us == 0) unbounded += shape(other).charge_milli;
      end_us = std::max(end_us, other.held->started_us + other.limit_us);
    }
    order.emplace_back(unbounded, end_us, i);
  }
  std::sort(order.begin(), order.end());
  std::vector<int32_t> nodes;
  for (const auto& [unbounded, end_us, node] : order) nodes.push_back(node);
  Slices slices;
  if (shape(of).topology.required) {
    Cluster room = cluster_.Emptied(/*all_nodes=*/false);
    if (!room.TryTake(shape(of), terms, &slices)) return;
  } else {
    Cluster& room = Empty();
    if (!room.TryTakeOn(shape(of), terms, nodes, &slices)) return;
    for (const Slice& slice : slices) room.Untake(slice);
  }
  nodes.clear();
  bool in_the_way = false;
  for (const Slice& slice : slices) {
    if (std::find(nodes.begin(), nodes.end(), slice.node) != nodes.end()) continue;
    nodes.push_back(slice.node);
    const std::vector<int32_t>& holders = cluster_.node(slice.node).holders;
    in_the_way |= std::any_of(holders.begin(), holders.end(), [&](int32_t holder) {
      return Firm(holder, of.uid) || (overdue && run(holder).uid != of.uid);
    });
  }
  if (!in_the_way) return;
  group.keep_again_us = 0;
  SetKept(index, std::move(nodes), now_us_);
}

void Planner::SetKept(int32_t index, std::vector<int32_t> nodes, int64_t since_us) {
  const Run& of = run(index);
  Kept& kept = kept_[index];
  kept.since_us = since_us;
  bool bounded = true;
  for (const int32_t node : nodes) {
    int64_t devices = 0;
    for (const Device& device : cluster_.node(node).devices) devices += device.usable ? 1000 : 0;
    kept.milli += devices > 0 ? devices : cluster_.node(node).cpu_total / policy_.cores_per_device;
    for (const int32_t holder : cluster_.node(node).holders) {
      if (!Firm(holder, of.uid)) continue;
      const Run& other = run(holder);
      bounded &= other.limit_us > 0;
      kept.until_us = std::max(kept.until_us, other.held->started_us + other.limit_us);
    }
  }
  if (!bounded) kept.until_us = 0;
  kept.nodes = std::move(nodes);
  kept_milli_ += kept.milli;
  for (const int32_t node : kept.nodes) {
    cluster_.KeepFor(node, of.uid, of.priority, kept.until_us);
  }
}

void Planner::DropKept(int32_t index) {
  const auto found = kept_.find(index);
  if (found == kept_.end()) return;
  for (const int32_t node : found->second.nodes) cluster_.KeepFor(node, 0, 0, 0);
  kept_milli_ -= found->second.milli;
  kept_.erase(found);
  changed_ = true;
}

// What an earlier plan kept. Nodes that are gone, or were taken by somebody of higher priority,
// make it void: the run looks for others.
void Planner::AddKept(const Reservation& reservation) {
  const auto found = by_uid_.find(reservation.run_uid);
  std::vector<int32_t> nodes;
  for (const Reservation::Hold& hold : reservation.holds) {
    const int32_t node = cluster_.Find(hold.node_id);
    if (node < 0 || !cluster_.node(node).schedulable || cluster_.node(node).kept_for != 0) return;
    nodes.push_back(node);
  }
  if (found == by_uid_.end()) {  // of a run that is planned apart from these
    for (const int32_t node : nodes) {
      cluster_.KeepFor(node, reservation.run_uid, reservation.priority, reservation.start_us);
    }
    return;
  }
  const Run& of = run(found->second);
  if (of.state != State::kWaiting || of.hold || of.claim != nullptr) return;
  SetKept(found->second, std::move(nodes), reservation.made_us);
}

// Those of a priority whose nodes are kept, in the order of the queue.
void Planner::StartKept(int32_t least_priority, Plan* plan) {
  std::vector<std::pair<Key, int32_t>> order;
  for (const auto& [index, kept] : kept_) {
    if (run(index).priority >= least_priority) order.emplace_back(KeyOf(run(index)), index);
  }
  std::sort(order.begin(), order.end());
  for (const auto& [key, index] : order) {
    const Run& of = run(index);
    if (of.state != State::kWaiting || of.hold || of.line < 0) {
      DropKept(index);
      continue;
    }
    const Line& line = lines_[static_cast<size_t>(of.line)];
    const bool full = StillFull(groups_[static_cast<size_t>(line.group)], PowerOf(line));
    const Try outcome = full ? Try::kNoRoom : TryStart(line, index, plan);
    if (outcome == Try::kNoRoom || outcome == Try::kNoRoomHere) TakeKept(index, plan);
    if (outcome == Try::kNotAllowed) DropKept(index);  // its quota is at its limit
  }
}

// Once nobody is in the way who may not be told to stop, nobody else starts there, and the others
// are told when they ran their minimum, those first that came last. Nodes that could not hold it
// even when empty (they changed) are given up.
void Planner::TakeKept(int32_t index, Plan* plan) {
  const std::vector<int32_t> nodes = kept_.at(index).nodes;
  const bool firm = std::any_of(nodes.begin(), nodes.end(), [&](int32_t node) {
    const std::vector<int32_t>& holders = cluster_.node(node).holders;
    return std::any_of(holders.begin(), holders.end(),
                       [&](int32_t holder) { return Firm(holder, run(index).uid); });
  });
  for (size_t i = 0; !firm && i < nodes.size(); ++i) cluster_.CloseKept(nodes[i]);
  std::vector<int32_t> others;
  for (const int32_t node : nodes) {
    for (const int32_t holder : cluster_.node(node).holders) {
      const Run& other = run(holder);
      if (other.state != State::kRunning) continue;
      const bool stays = other.held->firm || other.priority > run(index).priority ||
                         other.held->started_us + MinRunUs(other) > now_us_ ||
                         other.held->started_us >= now_us_;
      if (stays) return;
      if (std::find(others.begin(), others.end(), holder) == others.end()) others.push_back(holder);
    }
  }
  std::stable_sort(others.begin(), others.end(), [this](int32_t a, int32_t b) {
    return run(a).held->started_us > run(b).held->started_us;
  });
  Slices slices;
  size_t victims = 0;
  bool found = cluster_.TryTakeOn(shape(run(index)), TermsOf(run(index)), nodes, &slices);
  for (; !found && victims < others.size(); ++victims) {
    for (const Slice& slice : run(others[victims]).held->slices) cluster_.Untake(slice);
    found = cluster_.TryTakeOn(shape(run(index)), TermsOf(run(index)), nodes, &slices);
  }
  if (found && !quota_.empty() && quota_.Exceeded(run(index).leaf, UseOf(slices)) >= 0) {
    for (const Slice& slice : slices) cluster_.Untake(slice);
    found = false;
  }
  if (!found) {
    for (size_t i = 0; i < victims; ++i) {
      for (const Slice& slice : run(others[i]).held->slices) cluster_.Take(slice);
    }
    Cluster room = cluster_.Emptied(/*all_nodes=*/false);  // others may have claims there
    if (!room.TryTakeOn(shape(run(index)), TermsOf(run(index)), nodes, &slices)) DropKept(index);
    return;
  }
  for (size_t i = 0; i < victims; ++i) Preempt(others[i], kKeptPower, run(index).uid, plan);
  Claim(index, run(index).shape, std::move(slices), plan);
}

void Planner::EmitKept(std::vector<Reservation>* reservations) const {
  for (const auto& [index, kept] : kept_) {
    Reservation& reservation = reservations->emplace_back();
    reservation.kind = ReservationKind::kGang;
    reservation.run_uid = run(index).uid;
    reservation.made_us = kept.since_us;
    reservation.start_us = kept.until_us;
    reservation.priority = run(index).priority;
    reservation.reason = "kept until those that may not be preempted have ended";
    for (const int32_t node : kept.nodes) {
      reservation.holds.emplace_back().node_id = cluster_.IdOf(node);
    }
  }
}

}  // namespace trainyard::placement
