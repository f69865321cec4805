// The select stage: the queue in order, who starts, and what is given to whom. See planner.h.
#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/placement/planner.h"

namespace trainyard::placement {

Terms Planner::TermsOf(const Run& of) const {
  Terms terms;
  terms.now_us = now_us_;
  terms.limit_us = of.limit_us;
  terms.preemptible = of.preemptible;
  terms.run_uid = of.uid;
  // What a guarantee covers also uses nodes that are kept for others.
  const bool guaranteed = of.line >= 0 && lines_[static_cast<size_t>(of.line)].guaranteed;
  terms.priority = guaranteed ? std::numeric_limits<int32_t>::max() : of.priority;
  // Nodes it failed on are avoided while others could hold it.
  terms.keep_avoided = shape(of).avoid.empty() || Possible(of.shape, true);
  return terms;
}

// Rises when a run of this power could find victims that were not there before.
uint64_t Planner::RipeVersion(int power) const {
  uint64_t version = 0;
  for (size_t level = static_cast<size_t>(std::max(0, power + 1)); level < ripe_version_.size();
       ++level) {
    version += ripe_version_[level];
  }
  return version;
}

int Planner::PowerOf(const Line& line) const {
  if (line.guaranteed) return kReclaimPower;
  if (line.front || line.priority > 0) return kFrontPower;
  if (policy_.order == OrderBy::kFair && line.owner >= 0) {
    return WithinShare(line.owner, shapes_.at(line.shape).charge_milli) ? 0 : policy_.levels;
  }
  return line.level;
}

Plan Planner::Decide(int64_t now_us) {
  now_us_ = std::max(now_us_, now_us);
  Plan plan;
  Advance();
  Close(&plan);
  Grant(&plan);
  if (changed_) Pass(&plan);
  changed_ = false;
  for (const int32_t index : fresh_) {
    run(index).fresh = false;
    if (run(index).held != nullptr) CountRipe(index);
  }
  fresh_.clear();
  const int64_t wake = WakeUs();
  plan.wake_us = wake == INT64_MAX ? 0 : wake;
  return plan;
}

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

// Which lines a guarantee covers now.
void Planner::Cover() {
  for (const auto& [id, at] : line_by_id_) {
    Line& line = lines_[static_cast<size_t>(at)];
    const Shape& of = shapes_.at(line.shape);
    const Needs& needs = of.groups.front().needs;
    const bool cores = !needs.wants_device();
    const bool covered =
        quota_.Covers(line.leaf, cores ? of.cores_milli : of.charge_milli, needs.models, cores);
    if (covered == line.guaranteed) continue;
    line.guaranteed = covered;
    Rekey(at);
  }
}

// Whether a run of this power or less finds no room in the group's shape, as one before it.
bool Planner::StillFull(const Group& group, int power) const {
  return group.failed_room == cluster_.grown() && power >= group.failed_power &&
         (!policy_.preempt || group.failed_ripe == RipeVersion(group.failed_power));
}

// The first line of every group, but of those that are known to find no room.
std::vector<std::pair<Planner::Key, int32_t>> Planner::Heads() const {
  std::vector<std::pair<Key, int32_t>> queue;
  for (const auto& [id, at] : group_by_id_) {
    const Group& group = groups_[static_cast<size_t>(at)];
    const Key& first = *group.heads.begin();
    const Line& line = lines_[static_cast<size_t>(std::get<6>(first))];
    const bool skip =
        policy_.select == Select::kSkip && !line.guaranteed && StillFull(group, PowerOf(line));
    if (!skip) queue.emplace_back(first, at);
  }
  return queue;
}

// The groups' first lines in the order of their keys. Each run that starts is followed by the next
// of its group; a group that finds no room leaves the pass.
void Planner::Pass(Plan* plan) {
  if (quota_.any_guarantee()) Cover();
  if (policy_.order == OrderBy::kFair) {
    KnowCapacity();
    ++ripe_version_.back();  // who is above its share may have changed
  }
  if (!kept_.empty()) {  // first among its equals, after those of a higher priority
    int32_t highest = INT32_MIN;
    for (const auto& [id, at] : group_by_id_) {
      const Key& first = *groups_[static_cast<size_t>(at)].heads.begin();
      highest = std::max(highest, -std::get<0>(first));
    }
    StartKept(highest, plan);
  }
  std::vector<std::pair<Key, int32_t>> queue = Heads();
  std::make_heap(queue.begin(), queue.end(), std::greater<>());
  const auto push = [&queue](const Key& key, int32_t at) {
    queue.emplace_back(key, at);
    std::push_heap(queue.begin(), queue.end(), std::greater<>());
  };
  bool blocked = false;  // the first waits for room: only what a guarantee covers goes past it
  while (!queue.empty()) {
    const auto [key, at] = queue.front();
    std::pop_heap(queue.begin(), queue.end(), std::greater<>());
    queue.pop_back();
    {
      const Group& group = groups_[static_cast<size_t>(at)];
      const auto now = group.heads.lower_bound(key);  // who stood there may have changed
      if (now == group.heads.end()) continue;
      if (*now != key) {
        push(*now, at);
        continue;
      }
    }
    const int32_t line_at = std::get<6>(key);
    const Line& line = lines_[static_cast<size_t>(line_at)];
    const int32_t first = std::get<3>(*line.members.begin());
    const int32_t wanted = line.shape;
    const bool guaranteed = line.guaranteed;
    const int power = PowerOf(line);
    if (blocked && !guaranteed) {
      const auto& heads = groups_[static_cast<size_t>(at)].heads;
      const auto next = heads.upper_bound(key);
      if (next != heads.end()) push(*next, at);
      continue;
    }
    const bool full = !guaranteed && StillFull(groups_[static_cast<size_t>(at)], power);
    const Try outcome = full ? Try::kNoRoom : TryStart(line, first, plan);
    Group& group = groups_[static_cast<size_t>(at)];
    if (outcome == Try::kNoRoom) {
      Keep(first);
      if (!guaranteed) {
        group.failed_room = cluster_.grown();
        group.failed_power = full ? std::min(power, group.failed_power) : power;
        group.failed_ripe = RipeVersion(group.failed_power);
      }
      if (policy_.select != Select::kSkip && !blocked && Possible(wanted, false)) {
        if (policy_.select == Select::kEasy) Backfill(key, first, plan);
        if (policy_.select == Select::kConservative) Conserve(key, first, plan);
        if (!quota_.any_guarantee()) break;
        blocked = true;
      }
      if (!guaranteed) continue;
    }
    const auto next = group.heads.upper_bound(key);
    if (next != group.heads.end()) push(*next, at);
  }
  if (!kept_.empty()) StartKept(INT32_MIN, plan);
  if (waiting_ == claims_.size() && !elastic_.empty()) Grow(plan);
}

// The nodes that take work as if nothing ran there and none was kept; what is tried is undone.
Cluster& Planner::Empty() const {
  if (empty_ != nullptr) return *empty_;
  empty_ = std::make_unique<Cluster>(cluster_.Emptied(/*all_nodes=*/false));
  for (int32_t i = 0; i < empty_->size(); ++i) empty_->KeepFor(i, 0, 0, 0);
  return *empty_;
}

// Whether the shape could start on the nodes that take work if nothing ran there; `avoiding`:
// without the nodes it failed on.
bool Planner::Possible(int32_t whole_id, bool avoiding) const {
  const int32_t shape_id = shapes_.at(whole_id).least;
  const auto [found, is_new] = possible_.try_emplace({shape_id, avoiding}, false);
  if (is_new) {
    Terms terms;
    terms.now_us = now_us_;
    terms.preemptible = true;
    terms.keep_avoided = avoiding;
    Slices slices;
    found->second = Empty().TryTake(shapes_.at(shape_id), terms, &slices);
    for (const Slice& slice : slices) Empty().Untake(slice);
  }
  return found->second;
}

bool Planner::Allowed(const Run& of) const {
  if (quota_.empty()) return true;
  const Shape& wanted = shapes_.at(shape(of).least);
  const bool devices = wanted.groups.front().needs.wants_device();
  const Use least = {{devices ? 0 : kCores, devices ? wanted.charge_milli : wanted.cores_milli}};
  return quota_.Exceeded(of.leaf, least) < 0;
}

Planner::Try Planner::TryStart(const Line& line, int32_t index, Plan* plan) {
  const Run& of = run(index);
  if (!Allowed(of)) return Try::kNotAllowed;
  Terms terms = TermsOf(of);
  Slices slices;
  bool found = false;
  int32_t shape_id = of.shape;
  if (cluster_.anything_leaving()) {
    terms.present_only = true;
    found = TakeAny(index, terms, &slices, &shape_id);
    terms.present_only = false;
  }
  if (!found) found = TakeAny(index, terms, &slices, &shape_id);
  if (!found) {
    const int power = PowerOf(line);
    if (!policy_.preempt && power != kReclaimPower) return Try::kNoRoom;
    return MakeRoom(index, power, plan) ? Try::kStarted : Try::kNoRoom;
  }
  while (!quota_.empty() && quota_.Exceeded(of.leaf, UseOf(slices)) >= 0) {
    for (const Slice& slice : slices) cluster_.Untake(slice);
    // An elastic run takes what its quota leaves.
    const int32_t fewer = shapes_.at(shape_id).rank_count - 1;
    if (fewer < std::max(1, shape(of).elastic_min) || shape(of).elastic_min == 0) {
      return Try::kNotAllowed;
    }
    shape_id = shapes_.Fewer(of.shape, fewer);
    if (!cluster_.TryTake(shapes_.at(shape_id), terms, &slices)) return Try::kNotAllowed;
  }
  Claim(index, shape_id, std::move(slices), plan);
  return Try::kStarted;
}

// The slices are its own from now on; it starts at once unless something has to leave first.
void Planner::Claim(int32_t index, int32_t shape_id, Slices slices, Plan* plan) {
  Run& of = run(index);
  DropKept(index);
  Dequeue(index);
  Reshape(index, shape_id);
  const bool waits = std::any_of(slices.begin(), slices.end(),
                                 [&](const Slice& slice) { return cluster_.Waits(slice); });
  if (waits) {
    quota_.Add(of.leaf, UseOf(slices), +1);
    of.claim = std::make_unique<Slices>(std::move(slices));
    of.held_since_us = now_us_;
    ListClaim(index);
    return;
  }
  Start(index, std::move(slices), plan);
}

void Planner::Start(int32_t index, Slices slices, Plan* plan) {
  Run& of = run(index);
  EmitPlacement(of, slices, plan);
  of.waited_us += now_us_ - of.wait_from_us;
  --waiting_;
  Begin(index, std::move(slices));
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

void Planner::EmitPlacement(const Run& of, const Slices& slices, Plan* plan) const {
  Placement& placement = plan->placements.emplace_back();
  placement.run_uid = of.uid;
  std::vector<const Slice*> order;
  for (const Slice& slice : slices) order.push_back(&slice);
  std::sort(order.begin(), order.end(),
            [](const Slice* a, const Slice* b) { return a->rank < b->rank; });
  std::map<int32_t, size_t> member_of;
  for (const Slice* slice : order) {
    const auto [found, is_new] = member_of.try_emplace(slice->node, placement.members.size());
    if (is_new) placement.members.emplace_back().node_id = cluster_.IdOf(slice->node);
    PlannedMember& member = placement.members[found->second];
    member.ranks.push_back(slice->rank);
    std::vector<std::string>& devices = member.rank_devices.emplace_back();
    for (const int16_t position : slice->devices) {
      devices.push_back(cluster_.UuidOf(slice->node, position));
    }
  }
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
  if (!cluster_.TryTakeOn(shapes_.at(shape_id), TermsOf(of), nodes, &slices)) return;
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
