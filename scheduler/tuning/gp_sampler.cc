// See gp_sampler.h.
#include "scheduler/tuning/gp_sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <optional>

#include "common/random.h"
#include "scheduler/tuning/acquisition.h"
#include "scheduler/tuning/curve_model.h"
#include "scheduler/tuning/gp.h"
#include "scheduler/tuning/gp_model.h"
#include "scheduler/tuning/math.h"
#include "scheduler/tuning/output_warp.h"
#include "scheduler/tuning/pareto.h"
#include "scheduler/tuning/scalarize.h"
#include "scheduler/tuning/sobol.h"
#include "scheduler/tuning/trust_region.h"

namespace trainyard::tuning {
namespace {

constexpr int kModelMax = 500;    // points of the posterior
constexpr int kPendingMax = 256;  // points conditioned on
constexpr double kNearest = 1e-6;
constexpr double kNoisy = 3e-3;      // noise over signal: a small region would chase chance
constexpr double kBlind = 0.2;       // noise over signal: the model tells little
constexpr double kUnskilled = 0.15;  // share foretold: the model tells little
constexpr double kStalled = 1e-5;    // expected improvement, in deviations of the objective
constexpr double kExhausted = 0.02;  // expected improvement of a local ask
constexpr double kBranchRadius = 0.4;
constexpr double kReach = 0.3;
constexpr double kReachMost = 0.5;
constexpr double kBeyond = 1;   // of the front's width: how far beyond it the reference lies
constexpr double kCaution = 4;  // while fewer trials are safe than was asked for
constexpr size_t kCenters = 5;
constexpr size_t kEarlyTrials = 5;  // with lessons that hold, the start ends here
constexpr double kEarlyAgreement = 0.7;

class GpSampler : public Sampler {
 public:
  GpSampler(const v1::StudySpec& spec, const Space& space, const Lessons* lessons)
      : spec_(spec),
        space_(space),
        lessons_(lessons),
        models_(space, lessons),
        curves_(spec.stopping()) {
    for (int m = 0; m < spec.metrics_size(); ++m) {
      if (!spec.metrics(m).has_safety_threshold()) goals_.push_back(m);
    }
  }

  Point Propose(const History& history, const Ask& ask) override {
    const std::optional<Point> given = OfTheStart(history, ask);
    if (given.has_value()) return *given;
    // Every third ask weighs the goals at random: a front that begins at the far ends of both goals
    // must not keep the search there.
    if (goals_.size() == 2 && ask.id % 3 != 0) return ProposeForFront(history, ask);
    const Scalarizer scalarizer(spec_, history, ask.seed);
    const std::vector<Observation> all = Observe(history, scalarizer);
    const std::vector<Observation> modelled = Thinned(all, kModelMax);
    const auto model = models_.FittedTo(all, /*transfer=*/true);
    const double doubt = model->fit.best.noise() / model->fit.best.signal();
    // Noise alone keeps skill low: there the fit's own doubt decides.
    const bool noisy = doubt > kNoisy;
    const bool unskilled = !noisy && model->skill < kUnskilled;
    if ((doubt > kBlind || unskilled) && ask.id % 4 == 1) return Spread(ask);
    const bool local = ask.id % (noisy ? 4 : 2) == 0 && !unskilled;
    GpData data = models_.ToData(modelled);
    data.mean = model->mean.get();
    const Eigen::MatrixXd pending = PendingOf(history, ask);
    const GpPosterior posterior(data, pending, local ? model->fit.best : model->fit.plain);

    AcquisitionProblem problem;
    problem.space = &space_;
    problem.posterior = &posterior;
    const std::vector<GpPosterior> limits = LimitsOf(history, pending, &problem);
    Aim(history, modelled, &problem);
    if (local) {
      problem.radius = TrustRadius(all, space_, static_cast<size_t>(StartTrials(space_)), noisy);
    }
    SetEffort(data.x.rows() + pending.rows(), &problem);
    problem.seen = &data.x;
    problem.seed = MixSeed(ask.seed, 0xacce55);
    problem.taken = [&](const Point& point) { return IsTaken(point, history, data.x, pending); };
    const std::optional<Proposal> best = MaximizeImprovement(problem);
    if (!best.has_value()) return DrawUniform(space_, ask.seed);
    // Among predicted ends, little gain says little.
    if (local && !has_predicted_ && best->log_improvement < Log(kExhausted)) {
      const std::optional<Point> other = OfAnotherBranch(modelled, problem);
      if (other.has_value()) return *other;
    }
    // Nothing is expected anywhere: an evenly spread point teaches more than a far corner.
    const bool stalled = problem.limits.empty() && best->log_improvement < Log(kStalled);
    return !local && stalled ? Spread(ask) : best->point;
  }

 private:
  Point Spread(const Ask& ask) const {
    return space_.FromFeatures(
        ScrambledSobol(ask.study_seed, static_cast<uint32_t>(ask.index), space_.size()));
  }

  // Evenly spread points; with earlier studies, every second of the first few is one that was good
  // there, and the start is short when the first trials agree with them.
  std::optional<Point> OfTheStart(const History& history, const Ask& ask) {
    const int start = StartTrials(space_);
    const bool taught = lessons_ != nullptr && !lessons_->empty();
    if (taught && ask.index < start && ask.index % 2 == 0) {
      const auto which = static_cast<size_t>(ask.index / 2);
      if (which < std::min<size_t>(lessons_->points().size(), static_cast<size_t>(start) / 3)) {
        return lessons_->points()[which];
      }
    }
    if (history.succeeded() < std::min(start, 4)) return Spread(ask);
    if (ask.index >= start || (taught && LessonsHold(history))) return std::nullopt;
    return Spread(ask);
  }

  bool LessonsHold(const History& history) const {
    if (static_cast<size_t>(history.succeeded()) < kEarlyTrials) return false;
    const Scalarizer scalarizer(spec_, history, /*seed=*/0);
    std::vector<Observation> all;
    for (const auto& [id, entry] : history.entries()) {
      if (entry.status != Entry::kSucceeded) continue;
      all.push_back({id, scalarizer.Value(entry), space_.ToFeatures(entry.point)});
    }
    const GpData data = models_.ToData(all);
    double agreement;
    lessons_->Agree(data, WarpOutputs(data.t, 2, nullptr), &agreement);
    return agreement >= kEarlyAgreement;
  }

  // Early models are surest about corners that they know least: a proposal lies only so far from
  // what was seen. The longer the history, the fewer candidates can be looked at.
  void SetEffort(Eigen::Index points, AcquisitionProblem* problem) const {
    const auto n = static_cast<double>(points);
    const double reach = kReach * (1 + n / (5.0 * (space_.size() + 1)));
    problem->reach = reach > kReachMost ? 1 : reach;
    problem->candidates = static_cast<int>(std::clamp(3e6 / (n * n), 96.0, 800.0));
    problem->climbs = n > 250 ? 3 : 4;
    problem->climb_evaluations = n > 250 ? 12 : 25;
  }

  // Round the best there is little left to gain: the best point with another value of one category
  // gets the same chance, as if it were alone. Parents of other parameters come up more often.
  std::optional<Point> OfAnotherBranch(const std::vector<Observation>& modelled,
                                       AcquisitionProblem problem) const {
    const Features& best = problem.centers[0];
    const Eigen::VectorXd& fitted = problem.posterior->fitted();
    std::map<std::pair<int, double>, size_t> branches;  // the best of each
    for (size_t i = 0; i < modelled.size(); ++i) {
      for (int d = 0; d < space_.size(); ++d) {
        const double value = modelled[i].features[static_cast<size_t>(d)];
        if (!space_.dimension(d).is_categorical() || value == best[static_cast<size_t>(d)])
          continue;
        const auto [it, is_new] = branches.try_emplace({d, value}, i);
        const auto at = [&fitted](size_t k) { return fitted[static_cast<Eigen::Index>(k)]; };
        if (!is_new && at(i) < at(it->second)) it->second = i;
      }
    }
    std::vector<std::pair<int, size_t>> lots;
    for (const auto& [branch, i] : branches) {
      const int d = branch.first;  // Clang 14 takes no structured binding into a lambda
      const bool is_parent =
          std::any_of(space_.dimensions().begin(), space_.dimensions().end(),
                      [d](const Dimension& dimension) { return dimension.parent == d; });
      lots.insert(lots.end(), is_parent ? 3 : 1, {d, i});
    }
    if (lots.empty()) return std::nullopt;
    Random random(MixSeed(problem.seed, 0xb4a));
    const auto& [dimension, i] = lots[random.Below(lots.size())];
    problem.pinned = dimension;
    problem.centers = {modelled[i].features};
    problem.threshold = fitted[static_cast<Eigen::Index>(i)];
    problem.radius = kBranchRadius;
    const std::optional<Proposal> found = MaximizeImprovement(problem);
    if (!found.has_value() || found->log_improvement < Log(kExhausted)) return std::nullopt;
    return found->point;
  }

  // Where to look, and what to improve on: the best posterior mean among trials that keep the
  // limits.
  void Aim(const History& history, const std::vector<Observation>& modelled,
           AcquisitionProblem* problem) const {
    const Eigen::VectorXd& fitted = problem->posterior->fitted();
    std::vector<size_t> order(modelled.size());
    std::iota(order.begin(), order.end(), 0);
    std::vector<char> is_bad(modelled.size(), 0);
    for (size_t i = 0; i < modelled.size() && !problem->limits.empty(); ++i) {
      const Entry& entry = *history.Find(modelled[i].id);
      is_bad[i] = entry.status != Entry::kSucceeded || !IsSafe(entry, history, spec_);
    }
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      if (is_bad[a] != is_bad[b]) return is_bad[a] < is_bad[b];
      return fitted[static_cast<Eigen::Index>(a)] < fitted[static_cast<Eigen::Index>(b)];
    });
    for (size_t i = 0; i < std::min(order.size(), kCenters); ++i) {
      problem->centers.push_back(modelled[order[i]].features);
    }
    // What pending trials are expected to find is no further improvement.
    problem->threshold =
        std::min(problem->posterior->z().minCoeff(), problem->posterior->least_pending());
    if (problem->limits.empty()) return;
    problem->only_limits = is_bad[order[0]] != 0;
    problem->threshold = fitted[static_cast<Eigen::Index>(order[0])];
  }

  // One posterior a metric with a safety threshold.
  std::vector<GpPosterior> LimitsOf(const History& history, const Eigen::MatrixXd& pending,
                                    AcquisitionProblem* problem) {
    std::vector<GpPosterior> posteriors;
    posteriors.reserve(static_cast<size_t>(spec_.metrics_size()));  // pointers to them are kept
    for (int m = 0; m < spec_.metrics_size(); ++m) {
      const auto& metric = spec_.metrics(m);
      if (!metric.has_safety_threshold()) continue;
      const double limit = (history.maximizes(m) ? -1 : 1) * metric.safety_threshold();
      const std::vector<Observation> all = ObserveMetric(history, m);
      const auto safe = std::count_if(all.begin(), all.end(),
                                      [limit](const auto& one) { return one.value <= limit; });
      const std::vector<Observation> modelled = Thinned(all, kModelMax);
      std::vector<double> values;
      for (const Observation& observation : modelled) values.push_back(observation.value);
      const KernelParameters parameters = models_.FittedTo(all, /*transfer=*/false)->fit.plain;
      posteriors.emplace_back(models_.ToData(modelled), pending, parameters);
      problem->limits.push_back({&posteriors.back(), WarpedLike(values, parameters.warp(), limit)});
      if (static_cast<double>(safe) <
          metric.desired_min_safe_trials_fraction() * static_cast<double>(all.size())) {
        problem->caution = kCaution;
      }
    }
    return posteriors;
  }

  // A trial that was stopped counts with what it would have come to, as far and as surely as its
  // curve tells.
  // Limits have models of their own.
  std::vector<Observation> Observe(const History& history, const Scalarizer& scalarizer) {
    std::vector<Observation> all;
    std::optional<bool> has_curves;
    has_predicted_ = false;
    for (const auto& [id, entry] : history.entries()) {
      if (entry.status == Entry::kPending) continue;
      double value = std::numeric_limits<double>::infinity();
      double deviation = 0;
      if (entry.status == Entry::kSucceeded) value = scalarizer.Goal(entry);
      if (entry.stopped_early && entry.curve.size() >= kReportsMin && spec_.metrics_size() == 1) {
        if (!has_curves.has_value()) has_curves = curves_.Refresh(history);
        if (*has_curves) {
          const CurvePrediction foretold = curves_.Predict(entry);
          value = foretold.mean;  // beyond all numbers: as a failure
          deviation = foretold.deviation;
        }
        has_predicted_ = has_predicted_ || *has_curves;
      }
      all.push_back({id, value, space_.ToFeatures(entry.point), deviation});
    }
    return all;
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

  // Measuring a point again pays only where noise is said to be high; never while it runs.
  bool IsTaken(const Point& point, const History& history, const Eigen::MatrixXd& data,
               const Eigen::MatrixXd& pending) const {
    const bool again = MayMeasureAgain(spec_);
    if (!again && history.Contains(KeyOf(point))) return true;
    const Features features = space_.ToFeatures(point);
    for (const auto* x : {&data, &pending}) {
      if (again && x == &data) continue;
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

  // Of one metric; failed trials count as the worst.
  static std::vector<Observation> ObserveMetric(const History& history, int metric) {
    std::vector<Observation> all;
    for (const auto& [id, entry] : history.entries()) {
      if (entry.status == Entry::kPending) continue;
      double value = std::numeric_limits<double>::infinity();
      if (entry.status == Entry::kSucceeded) value = entry.objectives[static_cast<size_t>(metric)];
      all.push_back({id, value, history.space().ToFeatures(entry.point)});
    }
    return all;
  }

  // The process of one goal of two.
  struct GoalModel {
    std::vector<double> values;
    GpData data;
    std::unique_ptr<GpPosterior> posterior;
    double warp = 1;
    bool is_skilled = false;
    double Like(double y) const { return WarpedLike(values, warp, y); }
  };
  GoalModel ModelOf(const History& history, int metric, const Eigen::MatrixXd& pending) {
    GoalModel out;
    const std::vector<Observation> all = ObserveMetric(history, metric);
    const std::vector<Observation> modelled = Thinned(all, kModelMax);
    for (const Observation& one : modelled) out.values.push_back(one.value);
    const auto model = models_.FittedTo(all, /*transfer=*/false);
    out.data = models_.ToData(modelled);
    out.posterior = std::make_unique<GpPosterior>(out.data, pending, model->fit.plain);
    out.warp = model->fit.plain.warp();
    out.is_skilled = model->skill >= kUnskilled;
    return out;
  }

  // Two goals: a model of each, and the point that is expected to add most to the front of what is
  // known and what is expected of pending trials.
  Point ProposeForFront(const History& history, const Ask& ask) {
    const Eigen::MatrixXd pending = PendingOf(history, ask);
    const GoalModel first = ModelOf(history, goals_[0], pending);
    const GoalModel second = ModelOf(history, goals_[1], pending);
    if (!first.is_skilled && !second.is_skilled && ask.id % 4 == 1) return Spread(ask);
    AcquisitionProblem problem;
    problem.space = &space_;
    const std::vector<GpPosterior> limits = LimitsOf(history, pending, &problem);
    const std::vector<int32_t> best = ParetoFront(history, spec_);
    problem.only_limits =
        !problem.limits.empty() && !IsSafe(*history.Find(best[0]), history, spec_);
    std::vector<Goals> points;
    Goals low = {0, 0};
    Goals reference = {1, 1};  // at least one deviation worse than the mean of what was seen
    for (const int32_t id : best) {
      const Objectives& y = history.Find(id)->objectives;
      points.push_back({first.Like(y[static_cast<size_t>(goals_[0])]),
                        second.Like(y[static_cast<size_t>(goals_[1])])});
    }
    for (const size_t goal : {0, 1}) {
      for (const Goals& point : points) low[goal] = std::min(low[goal], point[goal]);
      for (const Goals& point : points) {
        const double beyond = point[goal] + kBeyond * (point[goal] - low[goal]);
        reference[goal] = std::max(reference[goal], beyond);
      }
    }
    for (Eigen::Index i = 0; i < pending.rows(); ++i) {
      const Eigen::VectorXd at = pending.row(i);
      Goals expected;
      double variance;
      first.posterior->Predict(at.data(), &expected[0], &variance);
      second.posterior->Predict(at.data(), &expected[1], &variance);
      points.push_back(expected);
    }
    const FrontGain front(std::move(points), reference);
    problem.posterior = first.posterior.get();
    problem.second = second.posterior.get();
    problem.front = &front;
    Random random(MixSeed(ask.seed, 0xf407));
    for (size_t i = 0; i < kCenters; ++i) {
      const Entry& entry = *history.Find(best[random.Below(best.size())]);
      problem.centers.push_back(space_.ToFeatures(entry.point));
    }
    SetEffort(first.data.x.rows() + pending.rows(), &problem);
    problem.seen = &first.data.x;
    problem.seed = MixSeed(ask.seed, 0xacce55);
    problem.taken = [&](const Point& point) {
      return IsTaken(point, history, first.data.x, pending);
    };
    const std::optional<Proposal> found = MaximizeImprovement(problem);
    return found.has_value() ? found->point : DrawUniform(space_, ask.seed);
  }

  const v1::StudySpec& spec_;
  const Space& space_;
  const Lessons* const lessons_;
  std::vector<int> goals_;  // metrics without a threshold
  GpModels models_;
  StudyCurves curves_;
  bool has_predicted_ = false;  // a value of the last Observe is a prediction
};

}  // namespace

int StartTrials(const Space& space) { return std::clamp(space.size() + 1, 4, 24); }

bool MayMeasureAgain(const v1::StudySpec& spec) {
  return spec.noise() == v1::StudySpec::NOISE_HIGH &&
         (spec.duplicates() == v1::StudySpec::DUPLICATES_UNSPECIFIED ||
          spec.duplicates() == v1::StudySpec::ALLOW);
}

std::unique_ptr<Sampler> MakeGpSampler(const v1::StudySpec& spec, const Space& space,
                                       const Lessons* lessons) {
  return std::make_unique<GpSampler>(spec, space, lessons);
}

}  // namespace trainyard::tuning
