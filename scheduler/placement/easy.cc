// The select stage of easy: the first run that finds no room has a reservation at the time at which
// it will, and nobody behind it starts who would move that (EASY backfill, Lifka 1995). See
// planner.h.
//  - A run ends by its time limit. One that has none is expected to end as its guess says, or to go
//    on as long as it has so far; it may start early only where the reservation does not need it.
//  - Policy.depth runs behind the first are looked at, in the order of the queue.
#include <algorithm>
#include <functional>
#include <utility>

#include "scheduler/placement/planner.h"

namespace trainyard::placement {
namespace {

constexpr int64_t kLeastUs = 60'000'000;

}  // namespace

// When a run that holds devices has given them back.
int64_t Planner::EndUs(const Run& of) const {
  if (of.state == State::kStopping) return now_us_;
  const int64_t ran_us = now_us_ - of.held->started_us;
  if (of.limit_us > 0) return std::max(now_us_, of.held->started_us + of.limit_us);
  return now_us_ + std::max({kLeastUs, of.guess_us - ran_us, of.guess_us > 0 ? 0 : ran_us});
}

// The earliest end of a running run at which the waiting one fits; `room`: the cluster then, all
// runs that end by then gone. INT64_MAX: it never fits.
int64_t Planner::ShadowUs(int32_t waiting, Cluster* room) const {
  std::vector<std::pair<int64_t, int32_t>> ends;
  for (const auto& [uid, index] : by_uid_) {
    if (run(index).state == State::kRunning) ends.emplace_back(EndUs(run(index)), index);
  }
  std::sort(ends.begin(), ends.end());
  size_t given = 0;  // so many of them are gone in `room`
  const auto move = [&](size_t to) {
    for (; given < to; ++given) {
      for (const Slice& slice : run(ends[given].second).held->slices) room->Give(slice);
    }
    for (; given > to; --given) {
      for (const Slice& slice : run(ends[given - 1].second).held->slices) room->Take(slice);
    }
  };
  size_t bad = 0;
  size_t good = ends.size();
  move(good);
  if (!FitsIn(waiting, room)) return INT64_MAX;
  while (bad + 1 < good) {
    const size_t middle = bad + (good - bad) / 2;
    move(middle);
    (FitsIn(waiting, room) ? good : bad) = middle;
  }
  if (ends.empty()) return now_us_;
  const int64_t shadow_us = ends[good - 1].first;
  for (; good < ends.size() && ends[good].first == shadow_us; ++good) {
  }
  move(good);
  return shadow_us;
}

bool Planner::FitsIn(int32_t waiting, Cluster* room) const {
  Slices slices;
  if (!room->TryTake(shape(run(waiting)), TermsOf(run(waiting)), &slices)) return false;
  for (const Slice& slice : slices) room->Untake(slice);
  return true;
}

// Waiting runs behind `key` in the order of the queue, at most policy_.depth (0: all).
std::vector<int32_t> Planner::Behind(const Key& key) const {
  using Place = std::pair<Key, std::pair<int32_t, absl::btree_set<Member>::const_iterator>>;
  const auto later = [](const Place& a, const Place& b) { return a.first > b.first; };
  std::vector<Place> heap;
  const auto push = [&](int32_t at, absl::btree_set<Member>::const_iterator next) {
    const Line& line = lines_[static_cast<size_t>(at)];
    if (next == line.members.end()) return;
    Key place = line.key;
    std::get<3>(place) = std::get<0>(*next);
    std::get<4>(place) = std::get<1>(*next);
    std::get<5>(place) = std::get<2>(*next);
    heap.push_back({place, {at, next}});
    std::push_heap(heap.begin(), heap.end(), later);
  };
  for (const auto& [id, at] : line_by_id_)
    push(at, lines_[static_cast<size_t>(at)].members.begin());
  const size_t most = policy_.depth > 0 ? static_cast<size_t>(policy_.depth) : waiting_;
  std::vector<int32_t> behind;
  while (!heap.empty() && behind.size() < most) {
    std::pop_heap(heap.begin(), heap.end(), later);
    auto [place, from] = heap.back();
    heap.pop_back();
    if (place > key) behind.push_back(std::get<3>(*from.second));
    push(from.first, std::next(from.second));
  }
  return behind;
}

// Starts those behind the blocked first run that cannot delay it.
void Planner::Backfill(const Key& key, int32_t first, Plan* plan) {
  Cluster room = cluster_;
  const int64_t shadow_us = ShadowUs(first, &room);
  std::set<int32_t> full;  // groups: what did not start for one starts for none of it
  for (const int32_t index : Behind(key)) {
    const Run& of = run(index);
    const int32_t group = lines_[static_cast<size_t>(of.line)].group;
    if (full.contains(group)) continue;
    if (!Allowed(of)) continue;
    const auto models = OpenModels(of, {});
    if (!models.has_value()) continue;
    Terms terms = TermsOf(of);
    terms.present_only = cluster_.anything_leaving();  // it would end later
    Slices slices;
    int32_t shape_id = of.shape;
    if (!TakeAny(of.shape, *models, terms, &slices, &shape_id)) {
      if (models->empty()) full.insert(group);
      continue;
    }
    const bool ends =
        shadow_us == INT64_MAX || (of.limit_us > 0 && of.limit_us <= shadow_us - now_us_);
    bool good = quota_.empty() || quota_.Exceeded(of.leaf, UseOf(slices)) < 0;
    if (good && !ends) {
      for (const Slice& slice : slices) room.Take(slice);
      good = FitsIn(first, &room);
      for (size_t i = 0; !good && i < slices.size(); ++i) room.Untake(slices[i]);
      if (!good && models->empty()) full.insert(group);
    }
    if (good) {
      Claim(index, shape_id, std::move(slices), plan);
    } else {
      for (const Slice& slice : slices) cluster_.Untake(slice);
    }
  }
}

}  // namespace trainyard::placement
