// See tpe.h.
#include "scheduler/tuning/tpe.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "common/random.h"
#include "scheduler/tuning/gp_sampler.h"
#include "scheduler/tuning/parzen.h"
#include "scheduler/tuning/scalarize.h"
#include "scheduler/tuning/sobol.h"

namespace trainyard::tuning {
namespace {

constexpr size_t kGoodMax = 25;
constexpr size_t kOthersMax = 75;
constexpr size_t kPendingMax = 25;
constexpr int kPendingWalk = 256;
constexpr int kCandidates = 24;
constexpr uint64_t kUniformEvery = 10;  // one ask in so many is a plain draw: never worse for long

class TpeSampler : public Sampler {
 public:
  TpeSampler(const v1::StudySpec& spec, const Space& space) : spec_(spec), space_(space) {}

  Point Propose(const History& history, const Ask& ask) override {
    const int start = StartTrials(space_);
    if (ask.index < start || history.succeeded() < std::min(start, 4)) {
      return space_.FromFeatures(
          ScrambledSobol(ask.study_seed, static_cast<uint32_t>(ask.index), space_.size()));
    }
    Random random(MixSeed(ask.seed, 0x7be));
    if (random.Below(kUniformEvery) == 0) return DrawUniform(space_, ask.seed);
    const bool narrow = random.Below(2) == 0;
    std::set<int32_t> good_ids;
    const std::vector<const Point*> good = Good(history, ask, &good_ids);
    const std::vector<const Point*> others = Others(history, ask, good_ids, &random);
    const ParzenDensity above(space_, good, narrow);
    const ParzenDensity below(space_, others, false);
    Point best;
    double best_score = -std::numeric_limits<double>::infinity();
    for (int i = 0; i < kCandidates; ++i) {
      Point point = above.Draw(&random);
      if (history.Contains(KeyOf(point))) continue;
      const double score = above.LogDensity(point) - below.LogDensity(point);
      if (best.empty() || score > best_score) {
        best = std::move(point);
        best_score = score;
      }
    }
    return best.empty() ? DrawUniform(space_, ask.seed) : best;
  }

 private:
  size_t GoodCount(const History& history) const {
    const auto tenth = static_cast<size_t>(std::ceil(0.1 * history.succeeded()));
    return std::clamp<size_t>(tenth, 1, kGoodMax);
  }

  std::vector<const Point*> Good(const History& history, const Ask& ask,
                                 std::set<int32_t>* ids) const {
    const size_t count = GoodCount(history);
    if (spec_.metrics_size() == 1 && !spec_.metrics(0).has_safety_threshold()) {
      for (const auto& [value, id] : history.ranking()) {
        if (ids->size() >= count) break;
        ids->insert(id);
      }
    } else {
      const Scalarizer scalarizer(spec_, history, ask.seed);
      std::set<std::pair<double, int32_t>> ranking;
      for (const auto& [value, id] : history.ranking()) {
        ranking.insert({scalarizer.Value(*history.Find(id)), id});
        if (ranking.size() > count) ranking.erase(std::prev(ranking.end()));
      }
      for (const auto& [value, id] : ranking) ids->insert(id);
    }
    std::vector<const Point*> points;
    for (const int32_t id : *ids) points.push_back(&history.Find(id)->point);
    return points;
  }

  // A sample of what was not good, and what is pending.
  std::vector<const Point*> Others(const History& history, const Ask& ask,
                                   const std::set<int32_t>& good, Random* random) const {
    std::set<int32_t> ids;
    const auto& entries = history.entries();
    const int32_t last = entries.rbegin()->first;
    if (entries.size() <= kOthersMax + good.size()) {
      for (const auto& [id, entry] : entries) ids.insert(id);
    } else {
      for (size_t i = 0; i < kOthersMax; ++i) {
        const auto at = entries.lower_bound(
            1 + static_cast<int32_t>(random->Below(static_cast<uint64_t>(last))));
        ids.insert(at->first);
      }
    }
    size_t pending = 0;
    int walked = 0;
    if (history.pending() > 0) {
      for (auto it = entries.rbegin();
           it != entries.rend() && pending < kPendingMax && walked < kPendingWalk; ++it, ++walked) {
        if (it->second.status != Entry::kPending || it->first == ask.id) continue;
        ids.insert(it->first);
        ++pending;
      }
    }
    ids.erase(ask.id);
    std::vector<const Point*> points;
    for (const int32_t id : ids) {
      if (good.count(id) == 0) points.push_back(&history.Find(id)->point);
    }
    for (const Point& point : *ask.batch) points.push_back(&point);
    return points;
  }

  const v1::StudySpec& spec_;
  const Space& space_;
};

}  // namespace

std::unique_ptr<Sampler> MakeTpeSampler(const v1::StudySpec& spec, const Space& space) {
  return std::make_unique<TpeSampler>(spec, space);
}

}  // namespace trainyard::tuning
