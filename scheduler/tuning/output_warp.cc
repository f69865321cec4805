// See output_warp.h.
#include "scheduler/tuning/output_warp.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "scheduler/tuning/math.h"

namespace trainyard::tuning {

namespace {

struct Scaling {
  double best = 0;
  double unit = 0;  // 0: nothing differs
};

Scaling ScalingOf(const std::vector<double>& objectives) {
  std::vector<double> finite;
  for (const double y : objectives) {
    if (std::isfinite(y)) finite.push_back(y);
  }
  if (finite.empty()) return {};
  std::sort(finite.begin(), finite.end());
  Scaling scaling{finite.front(), 0};
  // Halves, so that the difference of the two largest doubles is still one.
  scaling.unit = finite[finite.size() / 2] / 2 - scaling.best / 2;
  if (!(scaling.unit > 0)) scaling.unit = finite.back() / 2 - scaling.best / 2;
  return scaling;
}

}  // namespace

Eigen::VectorXd ScaleObjectives(const std::vector<double>& objectives) {
  Eigen::VectorXd t = Eigen::VectorXd::Zero(static_cast<Eigen::Index>(objectives.size()));
  const auto [best, unit] = ScalingOf(objectives);
  double worst = 0;
  for (Eigen::Index i = 0; i < t.size(); ++i) {
    const double y = objectives[static_cast<size_t>(i)];
    if (!std::isfinite(y)) continue;
    t[i] = unit > 0 ? std::min((y / 2 - best / 2) / unit, kWorstScaled) : 0;
    worst = std::max(worst, t[i]);
  }
  for (Eigen::Index i = 0; i < t.size(); ++i) {
    if (!std::isfinite(objectives[static_cast<size_t>(i)])) t[i] = worst > 0 ? worst : 1;
  }
  return t;
}

Eigen::VectorXd WarpOutputs(const Eigen::VectorXd& t, double c, double* log_jacobian) {
  const Eigen::Index n = t.size();
  Eigen::VectorXd z(n);
  double jacobian = 0;
  for (Eigen::Index i = 0; i < n; ++i) {
    const double shifted = c + t[i];
    z[i] = Log(shifted / c);
    jacobian -= Log(shifted);
  }
  const double mean = n > 0 ? z.mean() : 0;
  z.array() -= mean;
  const double deviation = n > 0 ? std::sqrt(z.squaredNorm() / static_cast<double>(n)) : 0;
  if (deviation > 1e-12) {
    z /= deviation;
    jacobian -= static_cast<double>(n) * Log(deviation);
  }
  if (log_jacobian != nullptr) *log_jacobian = jacobian;
  return z;
}

double ScaleUnit(const std::vector<double>& objectives) { return 2 * ScalingOf(objectives).unit; }

Eigen::VectorXd WarpSlopes(const Eigen::VectorXd& t, double c) {
  Eigen::ArrayXd logs(t.size());
  for (Eigen::Index i = 0; i < t.size(); ++i) logs[i] = Log((c + t[i]) / c);
  const double deviation = std::sqrt((logs - logs.mean()).square().mean());
  return (1 / ((c + t.array()) * std::max(deviation, 1e-12))).matrix();
}

double WarpedLike(const std::vector<double>& objectives, double c, double y) {
  const Eigen::VectorXd t = ScaleObjectives(objectives);
  const auto [best, unit] = ScalingOf(objectives);
  double own = y > best ? kWorstScaled : -kWorstScaled;
  if (unit > 0) own = std::clamp((y / 2 - best / 2) / unit, -kWorstScaled, kWorstScaled);
  own = std::max(own, -0.9 * c);
  Eigen::ArrayXd logs(t.size());
  for (Eigen::Index i = 0; i < t.size(); ++i) logs[i] = Log((c + t[i]) / c);
  const double mean = logs.size() > 0 ? logs.mean() : 0;
  const double deviation = logs.size() > 0 ? std::sqrt((logs - mean).square().mean()) : 0;
  const double off = Log((c + own) / c) - mean;
  return deviation > 1e-12 ? off / deviation : off;
}

Unwarped::Unwarped(const std::vector<double>& objectives, const Eigen::VectorXd& t, double c)
    : c_(c), best_(*std::min_element(objectives.begin(), objectives.end())) {
  Eigen::Index most;
  worst_ = t.maxCoeff(&most);
  if (worst_ > 0) half_unit_ = (objectives[static_cast<size_t>(most)] / 2 - best_ / 2) / worst_;
  Eigen::ArrayXd logs(t.size());
  for (Eigen::Index i = 0; i < t.size(); ++i) logs[i] = Log((c + t[i]) / c);
  mean_ = logs.mean();
  deviation_ = std::max(1e-12, std::sqrt((logs - mean_).square().mean()));
}

double Unwarped::operator()(double z) const {
  const double t = c_ * (Exp(mean_ + deviation_ * z) - 1);
  const double half = best_ / 2 + half_unit_ * std::clamp(t, -c_, worst_);
  constexpr double kMost = std::numeric_limits<double>::max() / 2;
  return 2 * std::clamp(half, -kMost, kMost);
}

}  // namespace trainyard::tuning
