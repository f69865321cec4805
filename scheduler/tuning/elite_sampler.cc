// See elite_sampler.h.
#include "scheduler/tuning/elite_sampler.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "common/random.h"
#include "scheduler/tuning/acquisition.h"
#include "scheduler/tuning/gp.h"
#include "scheduler/tuning/gp_model.h"

namespace trainyard::tuning {
namespace {

constexpr size_t kBest = 32;
constexpr size_t kOthers = 8;
constexpr size_t kPendingMax = 16;
constexpr int kPendingWalk = 64;
constexpr int kEvaluations = 12;
constexpr double kRadiusLeast = 0.02;
constexpr double kRadiusMost = 0.4;
constexpr double kNear = 1e-6;

class EliteSampler : public Sampler {
 public:
  explicit EliteSampler(const Space& space) : space_(space), models_(space, nullptr) {}

  Point Propose(const History& history, const Ask& ask) override {
    const std::vector<Observation> used = Chosen(history, ask.seed);
    if (used.size() < kOthers) return DrawUniform(space_, ask.seed);
    const GpData data = models_.ToData(used);
    if (data.t.maxCoeff() <= 0) return DrawUniform(space_, ask.seed);
    const GpPosterior posterior(data, PendingOf(history, ask), GpFit(data).Fit(kEvaluations).best);
    AcquisitionProblem problem;
    problem.space = &space_;
    problem.posterior = &posterior;
    problem.threshold = std::min(posterior.z().minCoeff(), posterior.least_pending());
    Eigen::Index best;
    posterior.fitted().minCoeff(&best);
    problem.centers = {used[static_cast<size_t>(best)].features};
    problem.radius = Spread(used, problem.centers[0]);
    problem.seen = &data.x;
    problem.candidates = 120;
    problem.climbs = 2;
    problem.seed = MixSeed(ask.seed, 0xe117e);
    problem.taken = [&](const Point& point) { return IsTaken(point, history, ask); };
    const std::optional<Proposal> found = MaximizeImprovement(problem);
    return found.has_value() ? found->point : DrawUniform(space_, ask.seed);
  }

 private:
  // The best trials, and some others: what is not good is part of the shape.
  std::vector<Observation> Chosen(const History& history, uint64_t seed) const {
    std::set<int32_t> ids;
    for (const auto& [value, id] : history.ranking()) {
      if (ids.size() >= kBest) break;
      if (!history.Find(id)->stopped_early) ids.insert(id);
    }
    Random random(MixSeed(seed, 0x07e5));
    const auto& entries = history.entries();
    for (size_t i = 0; i < kOthers && !entries.empty(); ++i) {
      const auto last = static_cast<uint64_t>(entries.rbegin()->first);
      const auto at = entries.lower_bound(1 + static_cast<int32_t>(random.Below(last)));
      const Entry& entry = at->second;
      if (entry.status == Entry::kSucceeded && !entry.stopped_early) ids.insert(at->first);
    }
    std::vector<Observation> used;
    for (const int32_t id : ids) {
      const Entry& entry = *history.Find(id);
      used.push_back({id, entry.objectives[0], space_.ToFeatures(entry.point)});
    }
    return used;
  }

  // Half of the best lie within it.
  double Spread(std::vector<Observation> used, const Features& center) const {
    std::sort(used.begin(), used.end(),
              [](const Observation& a, const Observation& b) { return a.value < b.value; });
    used.resize(std::min(used.size(), kBest));
    std::vector<double> apart;
    for (const Observation& one : used) {
      double most = 0;
      for (int d = 0; d < space_.size(); ++d) {
        if (space_.dimension(d).is_categorical()) continue;
        const auto i = static_cast<size_t>(d);
        most = std::max(most, std::abs(one.features[i] - center[i]));
      }
      apart.push_back(most);
    }
    const auto middle = apart.begin() + static_cast<int64_t>(apart.size() / 2);
    std::nth_element(apart.begin(), middle, apart.end());
    return std::clamp(*middle, kRadiusLeast, kRadiusMost);
  }

  // The newest of those that are not told yet.
  static std::vector<const Point*> Open(const History& history, const Ask& ask) {
    std::vector<const Point*> open;
    for (const Point& point : *ask.batch) open.push_back(&point);
    if (open.size() > kPendingMax) open.erase(open.begin(), open.end() - kPendingMax);
    if (history.pending() == 0) return open;
    int walked = 0;
    for (auto it = history.entries().rbegin();
         it != history.entries().rend() && walked < kPendingWalk && open.size() < kPendingMax;
         ++it, ++walked) {
      if (it->second.status != Entry::kPending || it->first == ask.id) continue;
      open.push_back(&it->second.point);
    }
    return open;
  }

  Eigen::MatrixXd PendingOf(const History& history, const Ask& ask) const {
    const std::vector<const Point*> open = Open(history, ask);
    Eigen::MatrixXd rows(static_cast<Eigen::Index>(open.size()), space_.size());
    for (size_t i = 0; i < open.size(); ++i) {
      const Features features = space_.ToFeatures(*open[i]);
      for (int d = 0; d < space_.size(); ++d) {
        rows(static_cast<Eigen::Index>(i), d) = features[static_cast<size_t>(d)];
      }
    }
    return rows;
  }

  bool IsTaken(const Point& point, const History& history, const Ask& ask) const {
    if (history.Contains(KeyOf(point))) return true;
    const Features features = space_.ToFeatures(point);
    return std::any_of(ask.batch->begin(), ask.batch->end(), [&](const Point& other) {
      const Features at = space_.ToFeatures(other);
      for (size_t d = 0; d < at.size(); ++d) {
        if (std::abs(at[d] - features[d]) >= kNear) return false;
      }
      return true;
    });
  }

  const Space& space_;
  const GpModels models_;
};

}  // namespace

std::unique_ptr<Sampler> MakeEliteSampler(const Space& space) {
  return std::make_unique<EliteSampler>(space);
}

}  // namespace trainyard::tuning
