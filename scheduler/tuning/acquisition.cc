// See acquisition.h.
#include "scheduler/tuning/acquisition.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "common/random.h"
#include "scheduler/tuning/lbfgs.h"
#include "scheduler/tuning/math.h"
#include "scheduler/tuning/sobol.h"

namespace trainyard::tuning {
namespace {

constexpr double kSmoothLevels = 24;  // integers with more values are climbed like doubles
constexpr int kNeighboursMax = 12;

struct Candidate {
  Features features;
  Point point;
  double value = -std::numeric_limits<double>::infinity();
};

bool IsSmooth(const Dimension& dimension) {
  if (dimension.kind == Dimension::kDouble) return dimension.Levels() == 0;
  return dimension.kind == Dimension::kInteger && dimension.Levels() > kSmoothLevels;
}

class Search {
 public:
  explicit Search(const AcquisitionProblem& problem)
      : problem_(problem), space_(*problem.space), random_(problem.seed) {
    for (int d = 0; d < space_.size(); ++d) {
      const double center = problem.centers[0][static_cast<size_t>(d)];
      const bool boxed = problem.radius < 1 && !space_.dimension(d).is_categorical();
      const bool pinned = d == problem.pinned;
      low_.push_back(pinned ? center : boxed ? std::max(0.0, center - problem.radius) : 0);
      high_.push_back(pinned ? center : boxed ? std::min(1.0, center + problem.radius) : 1);
    }
  }

  std::optional<Proposal> Run() {
    std::vector<Candidate> pool = Screen();
    const auto better = [](const Candidate& a, const Candidate& b) { return a.value > b.value; };
    std::stable_sort(pool.begin(), pool.end(), better);
    std::vector<Candidate> ends;
    for (const Candidate& start : pool) {
      if (static_cast<int>(ends.size()) >= problem_.climbs) break;
      if (!std::isfinite(start.value)) break;
      const bool near = std::any_of(ends.begin(), ends.end(), [&](const Candidate& end) {
        return Distance(end.features, start.features) < 0.02;
      });
      if (!near) ends.push_back(Climb(start));
    }
    std::stable_sort(ends.begin(), ends.end(), better);
    for (const auto* list : {&ends, &pool}) {
      for (const Candidate& candidate : *list) {
        if (!problem_.taken(candidate.point)) return Proposal{candidate.point, candidate.value};
      }
    }
    return std::nullopt;
  }

 private:
  static double Distance(const Features& a, const Features& b) {
    double most = 0;
    for (size_t d = 0; d < a.size(); ++d) most = std::max(most, std::abs(a[d] - b[d]));
    return most;
  }

  double Improvement(double mean, double variance) const {
    if (problem_.only_limits) return 0;
    const double deviation = std::sqrt(variance);
    double unused;
    return LogImprovement((problem_.threshold - mean) / deviation, &unused) + Log(deviation);
  }

  bool HasFront() const { return problem_.front != nullptr && !problem_.only_limits; }

  Candidate Made(const Features& features) const {
    Candidate candidate;
    candidate.point = space_.FromFeatures(features);
    candidate.features = space_.ToFeatures(candidate.point);
    return candidate;
  }

  void Evaluate(Candidate* candidate) const {
    double mean;
    double variance;
    problem_.posterior->Predict(candidate->features.data(), &mean, &variance);
    candidate->value = Improvement(mean, variance);
    if (HasFront()) {
      const Expected first = {mean, std::sqrt(variance)};
      problem_.second->Predict(candidate->features.data(), &mean, &variance);
      candidate->value = problem_.front->LogAt(first, {mean, std::sqrt(variance)}, nullptr);
    }
    for (const AcquisitionLimit& limit : problem_.limits) {
      limit.posterior->Predict(candidate->features.data(), &mean, &variance);
      double unused;
      candidate->value +=
          problem_.caution * LogNormalCdf((limit.most - mean) / std::sqrt(variance), &unused);
    }
  }

  // The seen point nearest to `features` (largest coordinate), and how far it is.
  Eigen::Index NearestSeen(const Features& features, double* distance) const {
    Eigen::Index nearest = 0;
    *distance = std::numeric_limits<double>::infinity();
    for (Eigen::Index i = 0; i < problem_.seen->rows(); ++i) {
      double far = 0;
      for (int d = 0; d < space_.size(); ++d) {
        if (space_.dimension(d).is_categorical()) continue;
        far = std::max(far, std::abs((*problem_.seen)(i, d) - features[static_cast<size_t>(d)]));
      }
      if (far >= *distance) continue;
      *distance = far;
      nearest = i;
    }
    return nearest;
  }

  bool WithinReach(const Features& features) const {
    if (problem_.reach >= 1) return true;
    double distance;
    NearestSeen(features, &distance);
    return distance <= problem_.reach;
  }

  // A step from a centre in some coordinates: wide, middling or narrow.
  Features Perturbed(const Features& center) {
    static constexpr double kWidths[] = {0.3, 0.1, 0.03, 0.01};
    const double width = kWidths[random_.Below(4)];
    const double share = std::min(1.0, (1 + random_.Below(4)) / static_cast<double>(center.size()));
    const size_t sure = random_.Below(center.size());
    Features out = center;
    for (size_t d = 0; d < out.size(); ++d) {
      if (d != sure && random_.Uniform() > share) continue;
      const Dimension& dimension = space_.dimension(static_cast<int>(d));
      if (dimension.is_categorical()) {
        const double drawn = random_.Uniform();
        out[d] = low_[d] + drawn * (high_[d] - low_[d]);
        continue;
      }
      double step = width * NormalDraw(&random_);
      if (dimension.Levels() > 0) step += (step < 0 ? -0.5 : 0.5) / dimension.Levels();
      out[d] = std::clamp(out[d] + step, low_[d], high_[d]);
    }
    return out;
  }

  std::vector<Candidate> Screen() {
    std::vector<Candidate> pool;
    const int global = problem_.candidates * 3 / 5;
    for (int i = 0; i < problem_.candidates; ++i) {
      Features features;
      if (i < global) {
        features = ScrambledSobol(problem_.seed, static_cast<uint32_t>(i), space_.size());
        for (size_t d = 0; d < features.size(); ++d) {
          features[d] = low_[d] + features[d] * (high_[d] - low_[d]);
        }
      } else {
        const size_t which = problem_.radius < 1 ? 0 : i % problem_.centers.size();
        features = Perturbed(problem_.centers[which]);
      }
      Candidate candidate = Made(features);
      if (!problem_.taken(candidate.point) && WithinReach(candidate.features))
        pool.push_back(std::move(candidate));
    }
    if (pool.empty()) return pool;
    Eigen::MatrixXd points(static_cast<Eigen::Index>(pool.size()), space_.size());
    for (size_t i = 0; i < pool.size(); ++i) {
      for (int d = 0; d < space_.size(); ++d) {
        points(static_cast<Eigen::Index>(i), d) = pool[i].features[static_cast<size_t>(d)];
      }
    }
    Eigen::VectorXd mean;
    Eigen::VectorXd variance;
    problem_.posterior->PredictMany(points, &mean, &variance);
    for (size_t i = 0; i < pool.size(); ++i) {
      const auto row = static_cast<Eigen::Index>(i);
      pool[i].value = Improvement(mean[row], variance[row]);
    }
    if (HasFront()) {
      Eigen::VectorXd other_mean;
      Eigen::VectorXd other_variance;
      problem_.second->PredictMany(points, &other_mean, &other_variance);
      for (size_t i = 0; i < pool.size(); ++i) {
        const auto row = static_cast<Eigen::Index>(i);
        pool[i].value =
            problem_.front->LogAt({mean[row], std::sqrt(variance[row])},
                                  {other_mean[row], std::sqrt(other_variance[row])}, nullptr);
      }
    }
    for (const AcquisitionLimit& limit : problem_.limits) {
      limit.posterior->PredictMany(points, &mean, &variance);
      for (size_t i = 0; i < pool.size(); ++i) {
        const auto row = static_cast<Eigen::Index>(i);
        double unused;
        pool[i].value += problem_.caution *
                         LogNormalCdf((limit.most - mean[row]) / std::sqrt(variance[row]), &unused);
      }
    }
    return pool;
  }

  Candidate Climb(Candidate current) const {
    for (int round = 0; round < 2; ++round) {
      const double before = current.value;
      ClimbSmooth(&current);
      ClimbSteps(&current);
      if (current.value < before + 1e-3) break;
    }
    return current;
  }

  // By gradient, over the active smooth coordinates.
  void ClimbSmooth(Candidate* current) const {
    std::vector<int> smooth;
    for (int d = 0; d < space_.size(); ++d) {
      if (IsSmooth(space_.dimension(d)) && !std::isnan(current->point[d])) smooth.push_back(d);
    }
    if (smooth.empty()) return;
    BoxProblem box;
    box.evaluations_max = problem_.climb_evaluations;
    std::vector<double> start;
    double unused;
    const Eigen::Index near = problem_.reach < 1 ? NearestSeen(current->features, &unused) : 0;
    for (const int d : smooth) {
      start.push_back(current->features[d]);
      const double center = problem_.reach < 1 ? (*problem_.seen)(near, d) : start.back();
      box.low.push_back(std::max(low_[d], center - problem_.reach));
      box.high.push_back(std::min(high_[d], center + problem_.reach));
    }
    Features features = current->features;
    box.function = [&](const std::vector<double>& x, std::vector<double>* gradient) {
      for (size_t i = 0; i < smooth.size(); ++i) features[smooth[i]] = x[i];
      return -SlopeAt(features, smooth, gradient);
    };
    const BoxMinimum end = MinimizeInBox(box, start);
    for (size_t i = 0; i < smooth.size(); ++i) features[smooth[i]] = end.x[i];
    Candidate moved = Made(features);
    Evaluate(&moved);
    if (moved.value > current->value && !problem_.taken(moved.point)) *current = std::move(moved);
  }

  // The value to be maximised, and minus its derivatives by the smooth coordinates.
  double SlopeAt(const Features& features, const std::vector<int>& smooth,
                 std::vector<double>* gradient) const {
    double mean;
    double variance;
    Eigen::VectorXd by_mean;
    Eigen::VectorXd by_variance;
    double value = 0;
    std::fill(gradient->begin(), gradient->end(), 0.0);
    // By a function of z = (limit - mean) / deviation whose slope is given.
    const auto add = [&](double z, double slope, double by_deviation_alone) {
      const double deviation = std::sqrt(variance);
      for (size_t i = 0; i < smooth.size(); ++i) {
        const double by_deviation = by_variance[smooth[i]] / (2 * deviation);
        (*gradient)[i] -= slope * (-by_mean[smooth[i]] - z * by_deviation) / deviation +
                          by_deviation_alone * by_deviation / deviation;
      }
    };
    double slope;
    if (HasFront()) {
      value += FrontSlopeAt(features, smooth, gradient);
    } else if (!problem_.only_limits) {
      problem_.posterior->PredictWithGradient(features.data(), &mean, &variance, &by_mean,
                                              &by_variance);
      const double z = (problem_.threshold - mean) / std::sqrt(variance);
      value += LogImprovement(z, &slope) + Log(std::sqrt(variance));
      add(z, slope, 1);
    }
    for (const AcquisitionLimit& limit : problem_.limits) {
      limit.posterior->PredictWithGradient(features.data(), &mean, &variance, &by_mean,
                                           &by_variance);
      const double z = (limit.most - mean) / std::sqrt(variance);
      value += problem_.caution * LogNormalCdf(z, &slope);
      add(z, problem_.caution * slope, 0);
    }
    return value;
  }

  // The same of the gain of a front of two goals.
  double FrontSlopeAt(const Features& features, const std::vector<int>& smooth,
                      std::vector<double>* gradient) const {
    Expected expected[2];
    Eigen::VectorXd by_mean[2];
    Eigen::VectorXd by_variance[2];
    for (const int goal : {0, 1}) {
      const GpPosterior& posterior = goal == 0 ? *problem_.posterior : *problem_.second;
      double variance;
      posterior.PredictWithGradient(features.data(), &expected[goal].mean, &variance,
                                    &by_mean[goal], &by_variance[goal]);
      expected[goal].deviation = std::sqrt(variance);
    }
    std::array<double, 4> slopes;
    const double value = problem_.front->LogAt(expected[0], expected[1], &slopes);
    for (size_t i = 0; i < smooth.size(); ++i) {
      for (const size_t goal : {0, 1}) {
        const double by_deviation = by_variance[goal][smooth[i]] / (2 * expected[goal].deviation);
        (*gradient)[i] -=
            slopes[2 * goal] * by_mean[goal][smooth[i]] + slopes[2 * goal + 1] * by_deviation;
      }
    }
    return value;
  }

  // One discrete coordinate at a time to its best neighbour.
  void ClimbSteps(Candidate* current) const {
    for (int d = 0; d < space_.size(); ++d) {
      const Dimension& dimension = space_.dimension(d);
      if (IsSmooth(dimension) || std::isnan(current->point[d]) || dimension.Levels() == 1) continue;
      for (const double value : Neighbours(dimension, current->point[d])) {
        Features features = current->features;
        features[d] = dimension.ToFeature(value);
        if (features[d] < low_[d] || features[d] > high_[d]) continue;
        Candidate moved = Made(features);
        if (problem_.taken(moved.point)) continue;
        Evaluate(&moved);
        if (moved.value > current->value) *current = std::move(moved);
      }
    }
  }

  static std::vector<double> Neighbours(const Dimension& dimension, double value) {
    std::vector<double> out;
    if (dimension.is_categorical()) {
      const double levels = dimension.Levels();
      for (double i = 1; i < levels && out.size() < kNeighboursMax; ++i) {
        out.push_back(std::fmod(value + i, levels));
      }
      return out;
    }
    const bool integer = dimension.kind == Dimension::kInteger;
    const double least = integer ? dimension.low : 0;
    const double most = integer ? dimension.high : dimension.Levels() - 1;
    for (const double step : {-1.0, 1.0, -2.0, 2.0}) {
      if (value + step >= least && value + step <= most) out.push_back(value + step);
    }
    return out;
  }

  const AcquisitionProblem& problem_;
  const Space& space_;
  Random random_;
  std::vector<double> low_;
  std::vector<double> high_;
};

}  // namespace

std::optional<Proposal> MaximizeImprovement(const AcquisitionProblem& problem) {
  return Search(problem).Run();
}

}  // namespace trainyard::tuning
