// See insight.h.
#include "scheduler/tuning/insight.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "scheduler/tuning/acquisition.h"
#include "scheduler/tuning/forest.h"
#include "scheduler/tuning/gp.h"
#include "scheduler/tuning/history.h"
#include "scheduler/tuning/math.h"
#include "scheduler/tuning/output_warp.h"
#include "scheduler/tuning/pareto.h"

namespace trainyard::tuning {
namespace {

constexpr size_t kTrialsMin = 4;
constexpr size_t kModelMax = 120;  // trials of the Gaussian process: the best, and others evenly
constexpr double kScaledMost = 10;
constexpr double kNinety = 1.645;  // deviations
constexpr uint64_t kSeed = 0x1f5e;

struct Known {
  int32_t id;
  const Point* point;
  double value;  // less is better
};

// Trials that ran to their end; where those are few, stopped ones too.
std::vector<Known> KnownOf(const History& history, int metric) {
  std::vector<Known> known;
  for (const bool stopped : {false, true}) {
    if (stopped && known.size() >= 2 * kTrialsMin) break;
    for (const auto& [id, entry] : history.entries()) {
      if (entry.status != Entry::kSucceeded || entry.stopped_early != stopped) continue;
      known.push_back({id, &entry.point, entry.objectives[static_cast<size_t>(metric)]});
    }
  }
  return known;
}

std::vector<double> ValuesOf(const std::vector<Known>& known) {
  std::vector<double> values;
  for (const Known& one : known) values.push_back(one.value);
  return values;
}

void AddShares(const Space& space, const std::vector<Known>& known, v1::StudyInsight* insight) {
  std::vector<const Point*> points;
  for (const Known& one : known) points.push_back(one.point);
  // Hopeless values count alike, lest one diverged run decide everything.
  const Eigen::VectorXd scaled = ScaleObjectives(ValuesOf(known));
  std::vector<double> values;
  for (const double t : scaled) values.push_back(std::min(t, kScaledMost));
  const VarianceShares shares = Forest(space, points, values, kSeed).Shares();
  std::vector<int> order(static_cast<size_t>(space.size()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&shares](int a, int b) {
    return shares.alone[static_cast<size_t>(a)] > shares.alone[static_cast<size_t>(b)];
  });
  for (const int d : order) {
    auto* importance = insight->add_importances();
    importance->set_parameter_id(space.dimension(d).id);
    importance->set_share(shares.alone[static_cast<size_t>(d)]);
    importance->set_deviation(shares.deviation[static_cast<size_t>(d)]);
  }
  insight->set_interactions(shares.together);
}

std::vector<Known> Thinned(std::vector<Known> known) {
  if (known.size() <= kModelMax) return known;
  std::stable_sort(known.begin(), known.end(),
                   [](const Known& a, const Known& b) { return a.value < b.value; });
  std::vector<Known> kept(known.begin(), known.begin() + kModelMax / 2);
  const size_t rest = known.size() - kept.size();
  const size_t others = kModelMax - kept.size();
  for (size_t i = 0; i < others; ++i) kept.push_back(known[kModelMax / 2 + i * rest / others]);
  return kept;
}

// The least posterior mean: from the best trials, one coordinate at a time with shrinking steps.
Features LeastMean(const Space& space, const GpPosterior& posterior, Features at) {
  const auto mean_at = [&posterior](const Features& features) {
    double mean;
    double variance;
    posterior.Predict(features.data(), &mean, &variance);
    return mean;
  };
  double least = mean_at(at);
  for (double step = 0.1; step > 0.002; step /= 2) {
    for (int d = 0; d < space.size(); ++d) {
      const double levels = space.dimension(d).Levels();
      const double move = std::max(step, levels > 1 ? 1 / levels : 0);
      for (const double sign : {-1.0, 1.0}) {
        Features moved = at;
        double& feature = moved[static_cast<size_t>(d)];
        feature = std::clamp(feature + sign * move, 0.0, 1.0);
        moved = space.ToFeatures(space.FromFeatures(moved));
        const double mean = mean_at(moved);
        if (mean >= least) continue;
        least = mean;
        at = std::move(moved);
      }
    }
  }
  return at;
}

void AddOptimum(const Space& space, std::vector<Known> known, bool maximize,
                v1::StudyInsight* insight) {
  known = Thinned(std::move(known));
  GpData data;
  data.x.resize(static_cast<Eigen::Index>(known.size()), space.size());
  for (size_t i = 0; i < known.size(); ++i) {
    const Features features = space.ToFeatures(*known[i].point);
    for (int d = 0; d < space.size(); ++d) {
      data.x(static_cast<Eigen::Index>(i), d) = features[static_cast<size_t>(d)];
    }
  }
  for (const Dimension& dimension : space.dimensions()) {
    data.categorical.push_back(dimension.is_categorical() ? 1 : 0);
  }
  const std::vector<double> values = ValuesOf(known);
  data.t = ScaleObjectives(values);
  const KernelParameters parameters = GpFit(data).Fit(30).best;
  const GpPosterior posterior(data, Eigen::MatrixXd(0, space.size()), parameters);
  const Unwarped back(values, data.t, parameters.warp());
  const double sign = maximize ? -1 : 1;
  Eigen::Index best;
  const double best_mean = posterior.fitted().minCoeff(&best);
  insight->set_best_trial(known[static_cast<size_t>(best)].id);
  insight->set_best_value(sign * back(best_mean));
  const Features at =
      LeastMean(space, posterior, space.ToFeatures(*known[static_cast<size_t>(best)].point));
  double mean;
  double variance;
  posterior.Predict(at.data(), &mean, &variance);
  auto* optimum = insight->mutable_predicted_optimum();
  for (auto& value : space.ToParameters(space.FromFeatures(at))) {
    *optimum->add_parameters() = std::move(value);
  }
  const double reach = kNinety * std::sqrt(variance);
  optimum->set_value(sign * back(mean));
  optimum->set_low(std::min(sign * back(mean - reach), sign * back(mean + reach)));
  optimum->set_high(std::max(sign * back(mean - reach), sign * back(mean + reach)));
}

}  // namespace

absl::StatusOr<v1::StudyInsight> MakeInsight(const v1::StudySpec& spec,
                                             const std::vector<TrialRecord>& trials,
                                             absl::string_view metric_id) {
  if (absl::Status status = CheckStudySpec(spec); !status.ok()) return status;
  int metric = metric_id.empty() ? 0 : -1;
  std::vector<std::string> names;
  for (int m = 0; m < spec.metrics_size(); ++m) {
    names.push_back(spec.metrics(m).metric_id());
    if (names.back() == metric_id) metric = m;
  }
  if (metric < 0) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat("the study has no metric \"", metric_id, "\""),
                     absl::StrCat("one of ", absl::StrJoin(names, ", ")), "metric_id");
  }
  const Space space(spec);
  History history(spec, space);
  for (const TrialRecord& trial : trials) history.Observe(trial);
  v1::StudyInsight insight;
  insight.set_metric_id(names[static_cast<size_t>(metric)]);
  const std::vector<Known> known = KnownOf(history, metric);
  insight.set_trials(static_cast<int32_t>(known.size()));
  if (spec.metrics_size() > 1) {
    for (const int32_t id : ParetoFront(history, spec)) insight.add_pareto_front(id);
  }
  if (known.size() < kTrialsMin) return insight;
  AddShares(space, known, &insight);
  AddOptimum(space, known, history.maximizes(metric), &insight);
  return insight;
}

}  // namespace trainyard::tuning
