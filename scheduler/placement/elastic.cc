// Elastic runs: they start with what can be had, shrink before anybody is evicted, and grow when
// nobody waits. A resize is a stop and a start: the run writes its checkpoint, and what it goes on
// with is its claim. See planner.h.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "scheduler/placement/planner.h"

namespace trainyard::placement {

// As many ranks of the shape as find room on these models (none: those it accepts), at least its
// minimum; `shape_id`: the shape with that many.
bool Planner::TakeAny(int32_t whole_id, const std::vector<int32_t>& models, const Terms& terms,
                      Slices* slices, int32_t* shape_id) {
  slices->clear();
  const auto take = [&](int32_t wanted) {
    *shape_id = wanted;
    const int32_t restricted = Restricted(wanted, models);
    return restricted != kNone && cluster_.TryTake(shapes_.at(restricted), terms, slices);
  };
  if (take(whole_id)) return true;
  const int32_t least = shapes_.at(whole_id).elastic_min;
  int32_t good = least - 1;
  if (good < 0) return false;
  int32_t bad = shapes_.at(whole_id).rank_count;
  while (good + 1 < bad) {
    const int32_t middle = good + (bad - good) / 2;
    const bool fits = take(shapes_.Fewer(whole_id, middle));
    for (const Slice& slice : *slices) cluster_.Untake(slice);
    slices->clear();
    (fits ? good : bad) = middle;
  }
  return good >= least && take(shapes_.Fewer(whole_id, good));
}

void Planner::Reshape(int32_t index, int32_t shape_id) {
  Run& of = run(index);
  if (of.shape == shape_id) return;
  const int64_t more = shapes_.at(shape_id).charge_milli - shape(of).charge_milli;
  demand_milli_ += more;
  if (of.front) front_milli_ += more;
  of.shape = shape_id;
}

// Whether it holds more ranks than it needs to go on.
bool Planner::Spare(const Run& of) const {
  const Shape& has = shape(of);
  return of.state == State::kRunning && has.elastic_min > 0 && has.rank_count > has.elastic_min;
}

// Takes what is left on its own nodes for a victim whose slices count as free: the most ranks that
// find room. kNone: fewer than its minimum.
int32_t Planner::Retain(int32_t index, Slices* kept) {
  const Run& of = run(index);
  std::vector<int32_t> nodes;
  for (const Slice& slice : of.held->slices) {
    if (nodes.empty() || nodes.back() != slice.node) nodes.push_back(slice.node);
  }
  for (int32_t ranks = shape(of).rank_count - 1; ranks >= shape(of).elastic_min; --ranks) {
    const int32_t shape_id = shapes_.Fewer(of.shape, ranks);
    if (cluster_.TryTakeOn(shapes_.at(shape_id), TermsOf(of), nodes, kept)) return shape_id;
  }
  return kNone;
}

void Planner::Resize(int32_t index, int32_t shape_id, Slices slices, uint64_t for_run, Plan* plan) {
  Run& of = run(index);
  ::trainyard::placement::Resize& resize = plan->resizes.emplace_back();
  resize.run_uid = of.uid;
  resize.ranks_from = shape(of).rank_count;
  resize.ranks_to = shapes_.at(shape_id).rank_count;
  resize.for_run_uid = for_run;
  resize.reason = for_run != 0 ? "it can go on with fewer ranks" : "devices are idle";
  Plan members;
  EmitPlacement(of, slices, &members);
  resize.members = std::move(members.placements.front().members);
  Halt(index, /*given=*/true);
  of.next_shape = shape_id;
  of.held_since_us = now_us_;
  of.claim = std::make_unique<Slices>(std::move(slices));
  quota_.Add(of.leaf, UseOf(*of.claim), +1);
}

// Nobody waits: idle devices go to elastic runs that ran their minimum, the smallest first.
void Planner::Grow(Plan* plan) {
  std::vector<std::tuple<int32_t, uint64_t, int32_t>> order;
  for (const int32_t index : elastic_) {
    const Run& of = run(index);
    const bool may = of.state == State::kRunning && of.preemptible &&
                     of.held->started_us + MinRunUs(of) < now_us_ &&
                     shape(of).rank_count < shapes_.at(shape(of).whole).rank_count;
    if (may) order.emplace_back(shape(of).rank_count, of.uid, index);
  }
  std::sort(order.begin(), order.end());
  for (const auto& [had, uid, index] : order) {
    const Run& of = run(index);
    const Slices before = of.held->slices;
    for (const Slice& slice : before) cluster_.Untake(slice);
    quota_.Add(of.leaf, of.held->use, -1);
    Slices more;
    int32_t shape_id = kNone;
    for (int32_t ranks = shapes_.at(shape(of).whole).rank_count; ranks > had; --ranks) {
      const int32_t wanted = shapes_.Fewer(of.shape, ranks);
      if (!cluster_.TryTake(shapes_.at(wanted), TermsOf(of), &more)) continue;
      if (quota_.empty() || quota_.Exceeded(of.leaf, UseOf(more)) < 0) {
        shape_id = wanted;
        break;
      }
      for (const Slice& slice : more) cluster_.Untake(slice);
    }
    quota_.Add(of.leaf, of.held->use, +1);
    if (shape_id == kNone) {
      for (const Slice& slice : before) cluster_.Take(slice);
      continue;
    }
    Resize(index, shape_id, std::move(more), 0, plan);
  }
}

}  // namespace trainyard::placement
