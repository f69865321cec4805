// BOHB: a model of good and bad points for the furthest step at which enough trials were measured,
// so that trials that were stopped early teach what they can. Source: Falkner, Klein and Hutter,
// "BOHB: robust and efficient hyperparameter optimization at scale" (2018). Meant for the stopping
// rules ASHA and HYPERBAND, whose rungs are its budgets. See sampler.h.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "common/random.h"
#include "scheduler/tuning/parzen.h"
#include "scheduler/tuning/sampler.h"

namespace trainyard::tuning {
namespace {

constexpr double kGoodShare = 0.15;
constexpr uint64_t kUniformEvery = 3;
constexpr int kCandidates = 64;
constexpr size_t kModelMax = 200;  // newest measurements of a budget
constexpr size_t kPendingMax = 25;
constexpr double kFactorDefault = 3;

using Measured = std::vector<std::pair<double, const Point*>>;  // value, less is better

class BohbSampler : public Sampler {
 public:
  BohbSampler(const v1::StudySpec& spec, const Space& space) : spec_(spec), space_(space) {}

  Point Propose(const History& history, const Ask& ask) override {
    Random random(MixSeed(ask.seed, 0xb0b));
    if (random.Below(kUniformEvery) == 0) return DrawUniform(space_, ask.seed);
    Measured measured = FurthestBudget(history, ask.id);
    const size_t least = static_cast<size_t>(space_.size()) + 1;
    if (measured.size() < least + 2) return DrawUniform(space_, ask.seed);
    std::stable_sort(measured.begin(), measured.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    const auto share = static_cast<size_t>(kGoodShare * static_cast<double>(measured.size()));
    const size_t cut = std::clamp(share, std::min(least, measured.size() / 2), measured.size() - 1);
    std::vector<const Point*> good;
    std::vector<const Point*> bad;
    for (size_t i = 0; i < measured.size(); ++i) {
      (i < cut ? good : bad).push_back(measured[i].second);
    }
    AddPending(history, ask, &bad);
    return BestDraw(history, good, bad, &random).value_or(DrawUniform(space_, ask.seed));
  }

 private:
  std::optional<Point> BestDraw(const History& history, const std::vector<const Point*>& good,
                                const std::vector<const Point*>& bad, Random* random) const {
    const ParzenDensity above(space_, good, /*narrow=*/true);
    const ParzenDensity below(space_, bad, /*narrow=*/false);
    std::optional<Point> best;
    double best_score = -std::numeric_limits<double>::infinity();
    for (int i = 0; i < kCandidates; ++i) {
      Point point = above.Draw(random);
      if (history.Contains(KeyOf(point))) continue;
      const double score = above.LogDensity(point) - below.LogDensity(point);
      if (best.has_value() && score <= best_score) continue;
      best = std::move(point);
      best_score = score;
    }
    return best;
  }

  // The newest of what is under way.
  static void AddPending(const History& history, const Ask& ask, std::vector<const Point*>* bad) {
    std::vector<const Point*> pending;
    if (history.pending() > 0) {
      for (const auto& [id, entry] : history.entries()) {
        if (entry.status == Entry::kPending && id != ask.id) pending.push_back(&entry.point);
      }
    }
    for (const Point& point : *ask.batch) pending.push_back(&point);
    const size_t skipped = pending.size() - std::min(pending.size(), kPendingMax);
    bad->insert(bad->end(), pending.begin() + static_cast<int64_t>(skipped), pending.end());
  }

  // Values at the furthest rung that enough trials came to; failures count as the worst.
  Measured FurthestBudget(const History& history, int32_t asked) const {
    const size_t least = static_cast<size_t>(space_.size()) + 3;
    Measured finals;
    double furthest = 0;
    for (const auto& [id, entry] : history.entries()) {
      if (id == asked) continue;
      if (!entry.curve.empty()) furthest = std::max(furthest, entry.curve.back().step);
      if (entry.status == Entry::kInfeasible) {
        finals.push_back({std::numeric_limits<double>::infinity(), &entry.point});
      } else if (entry.status == Entry::kSucceeded && !entry.stopped_early) {
        finals.push_back({entry.objectives[0], &entry.point});
      }
    }
    if (finals.size() >= least || furthest <= 0) return Newest(std::move(finals));
    const auto& stopping = spec_.stopping();
    const double factor =
        stopping.reduction_factor() > 1 ? stopping.reduction_factor() : kFactorDefault;
    const double first = std::max<double>(1, static_cast<double>(stopping.min_steps()));
    Measured best;
    for (double rung = first; rung <= furthest; rung *= factor) {
      Measured at = At(history, asked, rung);
      if (at.size() >= least) best = std::move(at);
    }
    return Newest(std::move(best));
  }

  static Measured At(const History& history, int32_t asked, double rung) {
    Measured at;
    for (const auto& [id, entry] : history.entries()) {
      if (id == asked || entry.curve.empty() || entry.curve.back().step < rung) continue;
      double value = entry.curve.front().value;
      for (const CurvePoint& point : entry.curve) {
        if (point.step > rung) break;
        value = point.value;
      }
      at.push_back({value, &entry.point});
    }
    return at;
  }

  static Measured Newest(Measured measured) {
    if (measured.size() <= kModelMax) return measured;
    // The best are kept whatever their age.
    std::vector<double> values;
    for (const auto& [value, point] : measured) values.push_back(value);
    const auto tenth = values.begin() + kModelMax / 10;
    std::nth_element(values.begin(), tenth, values.end());
    Measured kept;
    const size_t old = measured.size() - kModelMax * 9 / 10;
    for (size_t i = 0; i < measured.size(); ++i) {
      if (i >= old || measured[i].first < *tenth) kept.push_back(measured[i]);
    }
    return kept;
  }

  const v1::StudySpec& spec_;
  const Space& space_;
};

}  // namespace

std::unique_ptr<Sampler> MakeBohbSampler(const v1::StudySpec& spec, const Space& space) {
  return std::make_unique<BohbSampler>(spec, space);
}

}  // namespace trainyard::tuning
