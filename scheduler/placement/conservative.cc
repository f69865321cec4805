// The select stage of conservative: every waiting run, in the order of the queue, has a reservation
// at the earliest time at which it fits beside those before it, and whose time is now starts
// (conservative backfill, Mu'alem and Feitelson 2001). Nobody is delayed by one behind it. See
// planner.h.
//  - The reservations are made anew in every pass, from what is known then: a run that ends early
//    moves all of them forward.
//  - Times are those of easy: a run ends by its time limit; one that has none is expected to end as
//    its guess says, but what waits and has no limit takes its place for ever.
//  - Policy.depth runs have a reservation; those behind them start only where none of them is in
//    the way, which is what having one at last would say.
#include <algorithm>
#include <map>
#include <utility>

#include "scheduler/placement/planner.h"

namespace trainyard::placement {
namespace {

constexpr size_t kMomentsMax = 64;

// The room of the cluster from a time until that of the next moment.
struct Moment {
  int64_t from_us = 0;
  Cluster room;
  bool taken = false;  // a reservation begins here: less room than before
};

}  // namespace

// What is to come: running runs end, one after the other. The first moment is now.
class Planner::Forecast {
 public:
  explicit Forecast(const Planner& planner) : now_us_(planner.now_us_) {
    std::vector<std::pair<int64_t, int32_t>> ends;
    for (const auto& [uid, index] : planner.by_uid_) {
      const Run& of = planner.run(index);
      if (of.state != State::kRunning) continue;
      ends.emplace_back(std::max(now_us_ + 1, planner.EndUs(of)), index);  // it has not yet
    }
    std::sort(ends.begin(), ends.end());
    moments_.push_back({now_us_, planner.cluster_, false});
    for (const auto& [end_us, index] : ends) {
      // Far ahead ends are taken together, at the last of them: nobody starts too early by it.
      if (moments_.size() < kMomentsMax && end_us > moments_.back().from_us) {
        moments_.push_back({end_us, moments_.back().room, false});
      }
      moments_.back().from_us = std::max(moments_.back().from_us, end_us);
      for (const Slice& slice : planner.run(index).held->slices) moments_.back().room.Give(slice);
    }
  }
  size_t size() const { return moments_.size(); }

  // Where the shape fits at the moment and as long as it runs; false: not then.
  bool Fits(size_t at, const Shape& shape, Terms terms, Slices* slices) {
    terms.now_us = moments_[at].from_us;
    if (!moments_[at].room.TryTake(shape, terms, slices)) return false;
    for (const Slice& slice : *slices) moments_[at].room.Untake(slice);
    const int64_t until_us = terms.limit_us > 0 ? terms.now_us + terms.limit_us : INT64_MAX;
    std::vector<size_t> narrow;  // moments of its time at which there is less room than before
    for (size_t next = at + 1; next < size() && moments_[next].from_us < until_us; ++next) {
      if (moments_[next].taken) narrow.push_back(next);
    }
    if (narrow.empty()) return true;
    Cluster room = moments_[at].room;
    for (const size_t next : narrow) room.Intersect(moments_[next].room);
    slices->clear();
    return room.TryTake(shape, terms, slices);
  }

  // The slices are used from the moment on, as long as the limit says (0: for ever).
  void Reserve(size_t at, int64_t limit_us, const Slices& slices) {
    const int64_t until_us = limit_us > 0 ? moments_[at].from_us + limit_us : INT64_MAX;
    size_t last = at + 1;
    while (last < moments_.size() && moments_[last].from_us < until_us) ++last;
    const bool ends_between =
        until_us != INT64_MAX && (last == moments_.size() || moments_[last].from_us > until_us);
    if (ends_between) {
      moments_.insert(moments_.begin() + static_cast<ptrdiff_t>(last),
                      {until_us, moments_[last - 1].room, false});
    }
    for (size_t i = at; i < last; ++i) {
      for (const Slice& slice : slices) moments_[i].room.Take(slice);
    }
    moments_[at].taken = true;
  }

 private:
  const int64_t now_us_;
  std::vector<Moment> moments_;
};

// Runs that have a reservation, in the order of the queue, and which of them find room now: nobody
// else can start in this pass, so that nobody behind the last of them needs one.
class Planner::Wishes {
 public:
  struct Wish {
    int32_t index;
    int32_t shape_id;
    std::pair<int32_t, int32_t> kind;  // group, shape: those of a kind fit in the same places
  };
  Wishes(Planner* planner, const std::vector<int32_t>& order) : planner_(planner) {
    for (const int32_t index : order) {
      const Run& of = planner->run(index);
      if (!planner->Allowed(of)) continue;
      const auto models = planner->OpenModels(of, {});
      if (!models.has_value()) continue;
      const int32_t shape_id = planner->Restricted(of.shape, *models);
      if (shape_id == kNone) continue;
      const int32_t group = planner->lines_[static_cast<size_t>(of.line)].group;
      wishes_.push_back({index, shape_id, {group, shape_id}});
    }
    Look(0);
  }
  // Up to and with the last that finds room.
  size_t size() const { return size_; }
  const Wish& at(size_t i) const { return wishes_[i]; }
  // Once there is less room: who of those from `from` on still finds some.
  void Look(size_t from) {
    std::map<std::pair<int32_t, int32_t>, bool> fits;
    size_ = from;
    for (size_t i = from; i < wishes_.size(); ++i) {
      const auto [found, is_new] = fits.try_emplace(wishes_[i].kind, false);
      if (is_new) found->second = FitsNow(wishes_[i]);
      if (found->second) size_ = i + 1;
    }
  }

 private:
  bool FitsNow(const Wish& wish) const {
    Cluster& room = planner_->cluster_;
    Terms terms = planner_->TermsOf(planner_->run(wish.index));
    terms.present_only = room.anything_leaving();
    Slices slices;
    if (!room.TryTake(planner_->shapes_.at(wish.shape_id), terms, &slices)) return false;
    for (const Slice& slice : slices) room.Untake(slice);
    return true;
  }

  Planner* const planner_;
  std::vector<Wish> wishes_;
  size_t size_ = 0;
};

void Planner::Conserve(const Key& key, int32_t first, Plan* plan) {
  std::vector<int32_t> order = Behind(key);
  order.insert(order.begin(), first);
  Wishes wishes(this, order);
  if (wishes.size() == 0) return;
  Forecast forecast(*this);
  // Runs of one kind ask for the same: the next one does not fit earlier than the one before.
  std::map<std::pair<int32_t, int32_t>, size_t> from;
  for (size_t i = 0; i < wishes.size(); ++i) {
    const Wishes::Wish wish = wishes.at(i);
    const Run& of = run(wish.index);
    if (!Allowed(of)) continue;
    size_t& at = from[wish.kind];
    Terms terms = TermsOf(of);
    Slices slices;
    for (; at < forecast.size(); ++at) {
      terms.present_only = at == 0 && cluster_.anything_leaving();
      if (forecast.Fits(at, shapes_.at(wish.shape_id), terms, &slices)) break;
    }
    if (at == forecast.size()) continue;  // it fits at no time that is known
    if (at == 0 && !quota_.empty() && quota_.Exceeded(of.leaf, UseOf(slices)) >= 0) continue;
    forecast.Reserve(at, of.limit_us, slices);
    if (at > 0) continue;
    for (const Slice& slice : slices) cluster_.Take(slice);
    Claim(wish.index, of.shape, std::move(slices), plan);
    wishes.Look(i + 1);
  }
}

}  // namespace trainyard::placement
