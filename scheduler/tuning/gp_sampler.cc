// See gp_sampler.h.
#include "scheduler/tuning/gp_sampler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>

#include "common/random.h"
#include "scheduler/tuning/acquisition.h"
#include "scheduler/tuning/curve_model.h"
#include "scheduler/tuning/gp.h"
#include "scheduler/tuning/math.h"
#include "scheduler/tuning/output_warp.h"
#include "scheduler/tuning/scalarize.h"
#include "scheduler/tuning/sobol.h"

namespace trainyard::tuning {
namespace {

constexpr int kModelMax = 500;    // points of the posterior
constexpr int kFitMax = 100;      // points of the fit
constexpr int kPendingMax = 256;  // points conditioned on
constexpr double kNearest = 1e-6;
constexpr double kNoisy = 3e-3;    // noise over signal: a small region would chase chance
constexpr double kBlind = 0.2;     // noise over signal: the model tells little
constexpr double kStalled = 1e-5;  // expected improvement, in deviations of the objective
constexpr double kReach = 0.3;
constexpr double kReachMost = 0.5;

struct Observation {
  int32_t id;
  double value;
  Features features;
};

class GpSampler : public Sampler {
 public:
  GpSampler(const v1::StudySpec& spec, const Space& space)
      : spec_(spec), space_(space), curves_(spec.stopping()) {
    for (const Dimension& dimension : space.dimensions()) {
      categorical_.push_back(dimension.is_categorical() ? 1 : 0);
    }
  }

  Point Propose(const History& history, const Ask& ask) override {
    const int start = StartTrials(space_);
    if (ask.index < start || history.succeeded() < std::min(start, 4)) {
      return Spread(ask);
    }
    const std::vector<Observation> all = Observe(history, ask);
    const std::vector<Observation> modelled = Thinned(all, kModelMax);
    const GpData data = ToData(modelled);
    const GpFitted& fit = FittedTo(all);
    const double doubt = fit.best.noise() / fit.best.signal();
    const bool local = ask.id % (doubt > kNoisy ? 4 : 2) == 0;
    if (doubt > kBlind && ask.id % 4 == 1) return Spread(ask);
    const Eigen::MatrixXd pending = PendingOf(history, ask);
    const GpPosterior posterior(data, pending, local ? fit.best : fit.plain);

    AcquisitionProblem problem;
    problem.space = &space_;
    problem.posterior = &posterior;
    problem.threshold = posterior.z().minCoeff();
    for (const size_t i : FirstByValue(posterior.fitted(), 5)) {
      problem.centers.push_back(modelled[i].features);
    }
    if (local) problem.radius = TrustRadius(all);
    const auto n = static_cast<double>(data.x.rows() + pending.rows());
    problem.reach = ReachAt(n);
    problem.seen = &data.x;
    problem.candidates = static_cast<int>(std::clamp(3e6 / (n * n), 96.0, 800.0));
    problem.climbs = n > 250 ? 3 : 4;
    problem.climb_evaluations = n > 250 ? 12 : 25;
    problem.seed = MixSeed(ask.seed, 0xacce55);
    problem.taken = [&](const Point& point) { return IsTaken(point, history, data.x, pending); };
    const std::optional<Proposal> best = MaximizeImprovement(problem);
    if (!best.has_value()) return DrawUniform(space_, ask.seed);
    // Nothing is expected anywhere: an evenly spread point teaches more than a far corner.
    if (!local && best->log_improvement < Log(kStalled)) return Spread(ask);
    return best->point;
  }

 private:
  Point Spread(const Ask& ask) const {
    return space_.FromFeatures(
        ScrambledSobol(ask.study_seed, static_cast<uint32_t>(ask.index), space_.size()));
  }

  // How far from what was seen a proposal may lie: early models are surest about corners that
  // they know least.
  double ReachAt(double n) const {
    const double reach = kReach * (1 + n / (5.0 * (space_.size() + 1)));
    return reach > kReachMost ? 1 : reach;
  }

  static std::vector<size_t> FirstByValue(const Eigen::VectorXd& values, size_t most) {
    std::vector<size_t> order(static_cast<size_t>(values.size()));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&values](size_t a, size_t b) {
      return values[static_cast<Eigen::Index>(a)] < values[static_cast<Eigen::Index>(b)];
    });
    order.resize(std::min(order.size(), most));
    return order;
  }

  // A trial that was stopped counts with what it would have come to, as far as its curve tells.
  std::vector<Observation> Observe(const History& history, const Ask& ask) {
    std::vector<Observation> all;
    const Scalarizer scalarizer(spec_, history, ask.seed);
    std::optional<bool> has_curves;
    for (const auto& [id, entry] : history.entries()) {
      if (entry.status == Entry::kPending) continue;
      double value = std::numeric_limits<double>::infinity();
      if (entry.status == Entry::kSucceeded) value = scalarizer.Value(entry);
      if (entry.stopped_early && entry.curve.size() >= kReportsMin && spec_.metrics_size() == 1) {
        if (!has_curves.has_value()) has_curves = curves_.Refresh(history);
        if (*has_curves) value = curves_.Predict(entry).mean;
      }
      all.push_back({id, value, space_.ToFeatures(entry.point)});
    }
    return all;
  }

  // At most `most`: the better half by value, the rest evenly over the ids.
  static std::vector<Observation> Thinned(const std::vector<Observation>& all, int most) {
    const auto limit = static_cast<size_t>(most);
    if (all.size() <= limit) return all;
    std::vector<size_t> order(all.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&all](size_t a, size_t b) { return all[a].value < all[b].value; });
    std::vector<size_t> kept(order.begin(), order.begin() + static_cast<int64_t>(limit / 2));
    std::vector<size_t> rest(order.begin() + static_cast<int64_t>(limit / 2), order.end());
    std::sort(rest.begin(), rest.end());
    const size_t others = limit - kept.size();
    for (size_t i = 0; i < others; ++i) kept.push_back(rest[i * rest.size() / others]);
    std::sort(kept.begin(), kept.end());
    std::vector<Observation> out;
    for (const size_t i : kept) out.push_back(all[i]);
    return out;
  }

  GpData ToData(const std::vector<Observation>& observations) const {
    GpData data;
    data.categorical = categorical_;
    data.x.resize(static_cast<Eigen::Index>(observations.size()), space_.size());
    std::vector<double> values;
    for (size_t i = 0; i < observations.size(); ++i) {
      for (int d = 0; d < space_.size(); ++d) {
        data.x(static_cast<Eigen::Index>(i), d) = observations[i].features[static_cast<size_t>(d)];
      }
      values.push_back(observations[i].value);
    }
    data.t = ScaleObjectives(values);
    return data;
  }

  // Parameters fitted to a prefix of the trials that grows in steps, so that most asks find them
  // in the cache; the answer depends on the trials alone.
  const GpFitted& FittedTo(const std::vector<Observation>& all) {
    size_t count = all.size();
    if (count > 40) {
      size_t step = 2;
      while (step * 16 < count) step *= 2;
      count -= count % step;
    }
    const std::vector<Observation> prefix(all.begin(), all.begin() + static_cast<int64_t>(count));
    const std::vector<Observation> used = Thinned(prefix, kFitMax);
    uint64_t key = 1;
    for (const Observation& observation : used) {
      uint64_t bits;
      std::memcpy(&bits, &observation.value, sizeof(bits));
      key = MixSeed(MixSeed(key, static_cast<uint64_t>(observation.id)), bits);
      for (const double feature : observation.features) {
        std::memcpy(&bits, &feature, sizeof(bits));
        key = MixSeed(key, bits);
      }
    }
    if (key != cached_key_ || cached_ == nullptr) {
      cached_ = std::make_unique<GpFitted>(GpFit(ToData(used)).Fit(30));
      cached_key_ = key;
    }
    return *cached_;
  }

  Eigen::MatrixXd PendingOf(const History& history, const Ask& ask) const {
    std::vector<Features> rows;
    for (const Point& point : *ask.batch) rows.push_back(space_.ToFeatures(point));
    std::reverse(rows.begin(), rows.end());
    if (history.pending() > 0) {
      for (auto it = history.entries().rbegin();
           it != history.entries().rend() && rows.size() < kPendingMax; ++it) {
        if (it->second.status == Entry::kPending && it->first != ask.id) {
          rows.push_back(space_.ToFeatures(it->second.point));
        }
      }
    }
    Eigen::MatrixXd pending(static_cast<Eigen::Index>(rows.size()), space_.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      for (int d = 0; d < space_.size(); ++d) {
        pending(static_cast<Eigen::Index>(i), d) = rows[i][static_cast<size_t>(d)];
      }
    }
    return pending;
  }

  // Half the side of the trust region: doubled after successes in a row, halved after failures,
  // begun anew when it has become tiny.
  double TrustRadius(const std::vector<Observation>& all) const {
    const int patience = std::max(4, space_.size());
    double radius = 0.4;
    double best = std::numeric_limits<double>::infinity();
    int successes = 0;
    int failures = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      const bool success = all[i].value < best;
      if (success) best = all[i].value;
      if (static_cast<int>(i) < StartTrials(space_)) continue;
      successes = success ? successes + 1 : 0;
      failures = success ? 0 : failures + 1;
      if (successes >= 3) {
        radius = std::min(0.8, radius * 2);
        successes = 0;
      }
      if (failures >= patience) {
        radius /= 2;
        failures = 0;
      }
      if (radius < 0.01) radius = 0.4;
    }
    return radius;
  }

  bool IsTaken(const Point& point, const History& history, const Eigen::MatrixXd& data,
               const Eigen::MatrixXd& pending) const {
    if (history.Contains(KeyOf(point))) return true;
    const Features features = space_.ToFeatures(point);
    for (const auto* x : {&data, &pending}) {
      for (Eigen::Index i = 0; i < x->rows(); ++i) {
        bool near = true;
        for (Eigen::Index d = 0; d < x->cols() && near; ++d) {
          near = std::abs((*x)(i, d) - features[static_cast<size_t>(d)]) < kNearest;
        }
        if (near) return true;
      }
    }
    return false;
  }

  const v1::StudySpec& spec_;
  const Space& space_;
  StudyCurves curves_;
  std::vector<char> categorical_;
  uint64_t cached_key_ = 0;
  std::unique_ptr<GpFitted> cached_;
};

}  // namespace

int StartTrials(const Space& space) { return std::clamp(space.size() + 1, 4, 24); }

std::unique_ptr<Sampler> MakeGpSampler(const v1::StudySpec& spec, const Space& space) {
  return std::make_unique<GpSampler>(spec, space);
}

}  // namespace trainyard::tuning
