// See regret.h.
#include "scheduler/tuning/regret.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "scheduler/tuning/gp_model.h"
#include "scheduler/tuning/gp_sampler.h"
#include "scheduler/tuning/output_warp.h"
#include "scheduler/tuning/sobol.h"

namespace trainyard::tuning {
namespace {

constexpr int kModelMax = 300;
constexpr int kCandidates = 512;
constexpr int kClimbs = 4;
constexpr double kDeviations = 1.28;  // nine in ten to each side
constexpr uint64_t kSeed = 17;        // the same candidates every time

// The lowest optimistic expectation, from good starts one coordinate at a time.
class Hope {
 public:
  Hope(const Space& space, const GpPosterior& posterior) : space_(space), posterior_(posterior) {}

  double At(const Features& features) const {
    double mean;
    double variance;
    posterior_.Predict(features.data(), &mean, &variance);
    return mean - kDeviations * std::sqrt(variance);
  }

  double Least(std::vector<Features> starts) const {
    for (int i = 0; i < kCandidates; ++i) {
      starts.push_back(Rounded(ScrambledSobol(kSeed, static_cast<uint32_t>(i), space_.size())));
    }
    std::vector<std::pair<double, size_t>> order;
    for (size_t i = 0; i < starts.size(); ++i) order.emplace_back(At(starts[i]), i);
    std::sort(order.begin(), order.end());
    double least = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < std::min<size_t>(order.size(), kClimbs); ++i) {
      least = std::min(least, Descend(starts[order[i].second], order[i].first));
    }
    return least;
  }

 private:
  Features Rounded(const Features& features) const {
    return space_.ToFeatures(space_.FromFeatures(features));
  }

  double Descend(Features at, double least) const {
    for (double step = 0.1; step > 0.004; step /= 2) {
      for (int d = 0; d < space_.size(); ++d) {
        const double levels = space_.dimension(d).Levels();
        const double move = std::max(step, levels > 1 ? 1 / levels : 0);
        for (const double sign : {-1.0, 1.0}) {
          Features moved = at;
          double& feature = moved[static_cast<size_t>(d)];
          feature = std::clamp(feature + sign * move, 0.0, 1.0);
          moved = Rounded(moved);
          const double value = At(moved);
          if (value >= least) continue;
          least = value;
          at = std::move(moved);
        }
      }
    }
    return least;
  }

  const Space& space_;
  const GpPosterior& posterior_;
};

}  // namespace

std::optional<double> EstimatedRegret(const History& history) {
  const Space& space = history.space();
  std::vector<Observation> all;
  for (const auto& [id, entry] : history.entries()) {
    if (entry.status != Entry::kSucceeded || entry.stopped_early) continue;
    all.push_back({id, entry.objectives[0], space.ToFeatures(entry.point)});
  }
  if (all.size() < 2 * static_cast<size_t>(StartTrials(space))) return std::nullopt;
  const std::vector<Observation> modelled = Thinned(all, kModelMax);
  GpModels models(space, nullptr);
  const KernelParameters parameters = models.FittedTo(all, /*transfer=*/false)->fit.plain;
  const GpData data = models.ToData(modelled);
  if (data.t.maxCoeff() <= 0) return std::nullopt;
  const GpPosterior posterior(data, Eigen::MatrixXd(0, space.size()), parameters);
  double worst = std::numeric_limits<double>::infinity();
  Eigen::Index best = 0;
  posterior.fitted().minCoeff(&best);
  for (const Observation& one : modelled) {
    double mean;
    double variance;
    posterior.Predict(one.features.data(), &mean, &variance);
    worst = std::min(worst, mean + kDeviations * std::sqrt(variance));
  }
  const double hope = Hope(space, posterior).Least({modelled[static_cast<size_t>(best)].features});
  std::vector<double> values;
  for (const Observation& one : modelled) values.push_back(one.value);
  const Unwarped back(values, data.t, parameters.warp());
  return std::max(0.0, back(worst) - back(hope));
}

}  // namespace trainyard::tuning
