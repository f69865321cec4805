// The queue: lines of runs that have the same chance, and the order of their first ones. See
// planner.h.
#include <algorithm>

#include "scheduler/placement/planner.h"

namespace trainyard::placement {

int64_t Planner::OrderOf(const Run& of) const {
  if (policy_.order != OrderBy::kAttained || of.front) return of.submitted_us;
  switch (policy_.within) {
    case Policy::Within::kSubmitted:
      return of.submitted_us;
    case Policy::Within::kAttained:
      return of.attained_us;
    case Policy::Within::kAttainedPerDevice:
      return static_cast<int64_t>(static_cast<double>(of.attained_us) /
                                  std::max(0.001, shape(of).devices));
  }
  return of.submitted_us;
}

Planner::Key Planner::KeyOf(const Run& of) const {
  int32_t kind = of.front ? 1 : 2;
  int32_t level = of.level;
  if (of.line >= 0) {
    const Line& line = lines_[static_cast<size_t>(of.line)];
    if (line.guaranteed) kind = 0;
    level = line.level;
  } else if (of.claim != nullptr) {
    kind = -1;  // its devices are being vacated
  }
  const bool fair = policy_.order == OrderBy::kFair && kind == 2 && of.owner >= 0;
  const int64_t order = fair ? StandingOf(owners_[static_cast<size_t>(of.owner)]) : OrderOf(of);
  return {-of.priority, kind, kind == 2 ? level : 0, order, of.submitted_us, of.uid, 0};
}

int32_t Planner::LineOf(const Run& of) {
  const bool study = of.owner >= 0 && owners_[static_cast<size_t>(of.owner)].shared;
  const int32_t owner = study ? of.owner : kNone;
  const LineId id{of.priority, of.front,    study ? kNone : of.level, of.shape,
                  of.leaf,     of.limit_us, of.preemptible,           owner};
  const auto [found, is_new] = line_by_id_.try_emplace(id, 0);
  if (!is_new) return found->second;
  if (free_lines_.empty()) {
    free_lines_.push_back(static_cast<int32_t>(lines_.size()));
    lines_.emplace_back();
  }
  found->second = free_lines_.back();
  free_lines_.pop_back();
  Line& line = lines_[static_cast<size_t>(found->second)];
  line = Line{};
  line.priority = of.priority;
  line.front = of.front;
  line.level = of.level;
  line.shape = of.shape;
  line.leaf = of.leaf;
  line.limit_us = of.limit_us;
  line.preemptible = of.preemptible;
  line.owner = owner;
  if (study) owners_[static_cast<size_t>(owner)].lines.insert(found->second);
  return found->second;
}

void Planner::Enqueue(int32_t index) {
  Run& of = run(index);
  if (of.hold) return;
  if (policy_.aging_us > 0 && !of.promised) {
    unpromised_.insert({of.wait_from_us - of.waited_us, index});
  }
  of.line = LineOf(of);
  Line& line = lines_[static_cast<size_t>(of.line)];
  line.level = std::max<int32_t>(line.level, of.level);
  const Member member{OrderOf(of), of.submitted_us, of.uid, index};
  const auto at = line.members.insert(member).first;
  if (at == line.members.begin()) Rekey(of.line);
}

void Planner::Dequeue(int32_t index) {
  Run& of = run(index);
  if (of.line < 0) return;
  unpromised_.erase({of.wait_from_us - of.waited_us, index});
  const int32_t at = of.line;
  of.line = kNone;
  Line& line = lines_[static_cast<size_t>(at)];
  const bool first = std::get<3>(*line.members.begin()) == index;
  line.members.erase({OrderOf(of), of.submitted_us, of.uid, index});
  if (!line.members.empty()) {
    if (first) Rekey(at);
    return;
  }
  Unlist(&line);
  if (line.owner >= 0) owners_[static_cast<size_t>(line.owner)].lines.erase(at);
  line_by_id_.erase({line.priority, line.front, line.owner >= 0 ? kNone : line.level, line.shape,
                     line.leaf, line.limit_us, line.preemptible, line.owner});
  free_lines_.push_back(at);
}

int32_t Planner::GroupOf(const Line& line) {
  const GroupId id{line.shape, line.limit_us, line.preemptible};
  const auto [found, is_new] = group_by_id_.try_emplace(id, 0);
  if (!is_new) return found->second;
  if (free_groups_.empty()) {
    free_groups_.push_back(static_cast<int32_t>(groups_.size()));
    groups_.emplace_back();
  }
  found->second = free_groups_.back();
  free_groups_.pop_back();
  groups_[static_cast<size_t>(found->second)] = Group{};
  return found->second;
}

void Planner::Unlist(Line* line) {
  if (!line->listed) return;
  Group& group = groups_[static_cast<size_t>(line->group)];
  group.heads.erase(line->key);
  line->listed = false;
  if (!group.heads.empty()) return;
  group_by_id_.erase({line->shape, line->limit_us, line->preemptible});
  free_groups_.push_back(line->group);
}

void Planner::Rekey(int32_t index) {
  Line& line = lines_[static_cast<size_t>(index)];
  const bool listed = line.listed;
  const Key before = line.key;
  const auto& [order, submitted, uid, first] = *line.members.begin();
  const int32_t kind = line.guaranteed ? 0 : line.front ? 1 : 2;
  const bool fair = policy_.order == OrderBy::kFair && kind == 2 && line.owner >= 0;
  const int64_t place = fair ? StandingOf(owners_[static_cast<size_t>(line.owner)]) : order;
  line.key = {-line.priority, kind, kind == 2 ? line.level : 0, place, submitted, uid, index};
  if (!listed) line.group = GroupOf(line);
  Group& group = groups_[static_cast<size_t>(line.group)];
  if (listed) group.heads.erase(before);
  group.heads.insert(line.key);
  line.listed = true;
}

}  // namespace trainyard::placement
