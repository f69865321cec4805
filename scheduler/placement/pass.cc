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
  for (auto level = static_cast<size_t>(std::max(0, power + 1)); level < RipeEnd(power); ++level) {
    version += ripe_version_[level];
  }
  return version;
}

int Planner::PowerOf(const Line& line) const {
  if (line.guaranteed) return kReclaimPower;
  const bool above = !ripe_priorities_.empty() && line.priority > ripe_priorities_.begin()->first;
  if (line.front || line.priority > 0 || above) return kFrontPower;
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

int32_t Planner::HighestPriority() const {
  int32_t highest = INT32_MIN;
  for (const auto& [id, at] : group_by_id_) {
    const Key& first = *groups_[static_cast<size_t>(at)].heads.begin();
    highest = std::max(highest, -std::get<0>(first));
  }
  return highest;
}

// A run of this power found no room; `again`: one before it had not either.
void Planner::NoteFull(Group* group, bool again, int power) {
  group->failed_room = cluster_.grown();
  group->failed_power = again ? std::min(power, group->failed_power) : power;
  group->failed_ripe = RipeVersion(group->failed_power);
}

// The groups' first lines in the order of their keys. Each run that starts is followed by the next
// of its group; a group that finds no room leaves the pass.
void Planner::Pass(Plan* plan) {
  if (quota_.any_guarantee()) Cover();
  if (policy_.order == OrderBy::kFair) {
    KnowCapacity();
    ++ripe_version_[static_cast<size_t>(
        policy_.levels)];  // who is above its share may have changed
  }
  if (!kept_.empty()) StartKept(HighestPriority(), plan);  // first among its equals
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
    if (outcome == Try::kNoRoomHere && guaranteed) {
      // On the models that its guarantee covers; on others it has its turn like everybody.
      lines_[static_cast<size_t>(line_at)].guaranteed = false;
      Rekey(line_at);
    }
    Group& group = groups_[static_cast<size_t>(at)];
    const bool alone = guaranteed || outcome == Try::kNoRoomHere;  // others of its group may fit
    if (outcome == Try::kNoRoom || (outcome == Try::kNoRoomHere && !guaranteed)) {
      Keep(first);
      if (!alone) NoteFull(&group, full, power);
      if (policy_.select != Select::kSkip && !blocked && Possible(wanted, false)) {
        if (policy_.select == Select::kEasy) Backfill(key, first, plan);
        if (policy_.select == Select::kConservative) Conserve(key, first, plan);
        if (!quota_.any_guarantee()) break;
        blocked = true;
      }
      if (!alone) continue;
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

Planner::Try Planner::TryStart(const Line& line, int32_t index, Plan* plan) {
  const Run& of = run(index);
  if (!Allowed(of)) return Try::kNotAllowed;
  std::optional<std::vector<int32_t>> models =
      OpenModels(of, line.guaranteed ? line.covered : std::vector<int32_t>());
  if (!models.has_value()) return line.guaranteed ? Try::kNoRoomHere : Try::kNotAllowed;
  const int32_t least = shape(of).elastic_min;
  int32_t wanted = of.shape;
  while (true) {
    Slices slices;
    int32_t shape_id = wanted;
    if (!TakeNow(wanted, *models, TermsOf(of), &slices, &shape_id)) {
      const int power = PowerOf(line);
      const Try no_room = models->empty() ? Try::kNoRoom : Try::kNoRoomHere;
      if (!policy_.preempt && power != kReclaimPower) return no_room;
      return MakeRoom(index, power, *models, plan) ? Try::kStarted : no_room;
    }
    int32_t model = 0;
    if (quota_.empty() || quota_.Exceeded(of.leaf, UseOf(slices), &model) < 0) {
      Claim(index, shape_id, std::move(slices), plan);
      return Try::kStarted;
    }
    for (const Slice& slice : slices) cluster_.Untake(slice);
    if (model > 0 && CloseModel(of, model, &*models)) continue;
    // An elastic run takes what its quota leaves.
    const int32_t fewer = shapes_.at(shape_id).rank_count - 1;
    if (least == 0 || fewer < least) return Try::kNotAllowed;
    wanted = shapes_.Fewer(of.shape, fewer);
    models = OpenModels(of, line.guaranteed ? line.covered : std::vector<int32_t>());
    if (!models.has_value()) return Try::kNotAllowed;
  }
}

// Room that is free; what nobody has to leave first where there is such.
bool Planner::TakeNow(int32_t whole_id, const std::vector<int32_t>& models, Terms terms,
                      Slices* slices, int32_t* shape_id) {
  if (cluster_.anything_leaving()) {
    terms.present_only = true;
    if (TakeAny(whole_id, models, terms, slices, shape_id)) return true;
    terms.present_only = false;
  }
  return TakeAny(whole_id, models, terms, slices, shape_id);
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

}  // namespace trainyard::placement
