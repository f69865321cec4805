// Claims: what a run is to have once those that stop for it have left. They are reservations of the
// plan with devices, and come back with the next snapshot. See planner.h.
#include <algorithm>
#include <utility>

#include "scheduler/placement/planner.h"

namespace trainyard::placement {

std::vector<Reservation> Planner::Claims() const {
  std::vector<int32_t> claimed(claims_.begin(), claims_.end());
  for (const int32_t index : elastic_) {
    if (run(index).claim != nullptr) claimed.push_back(index);
  }
  std::vector<Reservation> reservations;
  reservations.reserve(claimed.size());
  for (const int32_t index : claimed) {
    const Run& of = run(index);
    Reservation& reservation = reservations.emplace_back();
    reservation.kind = ReservationKind::kGang;
    reservation.run_uid = of.uid;
    reservation.made_us = of.held_since_us;
    for (const Slice& slice : *of.claim) {
      Reservation::Hold& hold = reservation.holds.emplace_back();
      hold.node_id = cluster_.IdOf(slice.node);
      hold.cpu_milli = slice.cpu_milli;
      hold.memory_bytes = slice.memory_bytes;
      for (const int16_t position : slice.devices) {
        hold.device_uuids.push_back(cluster_.UuidOf(slice.node, position));
      }
    }
  }
  EmitKept(&reservations);
  return reservations;
}

// Its nodes tell when something has left there (Grant).
void Planner::ListClaim(int32_t index) {
  if (claims_.insert(index).second) Stand(run(index), +1);
  for (const Slice& slice : *run(index).claim) {
    claims_of_[slice.node].insert(index);
    told_.insert(index);
  }
}

void Planner::UnlistClaim(int32_t index) {
  if (claims_.erase(index) > 0) Stand(run(index), -1);
  told_.erase(index);
  for (const Slice& slice : *run(index).claim) {
    const auto found = claims_of_.find(slice.node);
    if (found == claims_of_.end()) continue;
    found->second.erase(index);
    if (found->second.empty()) claims_of_.erase(found);
  }
}

// Only claims on nodes where something left since the last time may have come true.
void Planner::Grant(Plan* plan) {
  const std::vector<int32_t> vacated = cluster_.TakeVacated();
  if (claims_.empty()) return;
  std::set<int32_t> told = std::exchange(told_, {});
  for (const int32_t node : vacated) {
    const auto found = claims_of_.find(node);
    if (found != claims_of_.end()) told.insert(found->second.begin(), found->second.end());
  }
  for (const int32_t index : told) {
    Run& of = run(index);
    const bool waits = std::any_of(of.claim->begin(), of.claim->end(),
                                   [&](const Slice& slice) { return cluster_.Waits(slice); });
    if (waits) continue;
    UnlistClaim(index);
    Slices slices = std::move(*of.claim);
    of.claim.reset();
    quota_.Add(of.leaf, UseOf(slices), -1);
    Start(index, std::move(slices), plan);
  }
}

// Exactly what the holds name, one for each rank in the order of the shape's groups; nothing where
// that is not to be had any more.
bool Planner::TakeHolds(const Shape& of, const Terms& terms,
                        const std::vector<Reservation::Hold>& holds, Slices* slices) {
  slices->clear();
  if (std::ssize(holds) != of.rank_count) return false;
  bool good = true;
  for (const Shape::Group& group : of.groups) {
    for (const int32_t rank : group.ranks) {
      const Reservation::Hold& hold = holds[slices->size()];
      const int32_t node = cluster_.Find(hold.node_id);
      Slice slice;
      good = node >= 0 && cluster_.Admits(cluster_.node(node), of, terms) &&
             cluster_.CutExactly(node, group.needs, rank, hold.device_uuids, &slice);
      if (!good) break;
      cluster_.Take(slice);
      slices->push_back(std::move(slice));
    }
    if (!good) break;
  }
  if (good) return true;
  for (; !slices->empty(); slices->pop_back()) cluster_.Untake(slices->back());
  return false;
}

void Planner::AddClaim(const Reservation& reservation) {
  const auto& holds = reservation.holds;
  const bool nodes_only = std::all_of(holds.begin(), holds.end(), [](const auto& hold) {
    return hold.device_uuids.empty() && hold.cpu_milli == 0 && hold.memory_bytes == 0;
  });
  if (nodes_only) return AddKept(reservation);
  const auto found = by_uid_.find(reservation.run_uid);
  if (found == by_uid_.end()) return;
  const int32_t index = found->second;
  Run& of = run(index);
  if (of.state != State::kWaiting && of.state != State::kStopping) return;
  std::vector<int32_t> nodes;
  for (const Reservation::Hold& hold : reservation.holds) {
    const int32_t node = cluster_.Find(hold.node_id);
    if (node >= 0 && (nodes.empty() || nodes.back() != node)) nodes.push_back(node);
  }
  const auto ranks = static_cast<int32_t>(reservation.holds.size());  // one hold a rank
  const bool elastic = shape(of).elastic_min > 0 && ranks >= shape(of).elastic_min &&
                       ranks <= shapes_.at(shape(of).whole).rank_count;
  const int32_t shape_id = elastic ? shapes_.Fewer(of.shape, ranks) : of.shape;
  Slices slices;
  if (!TakeHolds(shapes_.at(shape_id), TermsOf(of), holds, &slices) &&
      !cluster_.TryTakeOn(shapes_.at(shape_id), TermsOf(of), nodes, &slices)) {
    return;
  }
  of.held_since_us = reservation.made_us;
  of.claim = std::make_unique<Slices>(std::move(slices));
  quota_.Add(of.leaf, UseOf(*of.claim), +1);
  if (of.state == State::kStopping) {
    of.next_shape = shape_id;
    return;
  }
  Dequeue(index);
  Reshape(index, shape_id);
  ListClaim(index);
}

}  // namespace trainyard::placement
