// How objectives become what the Gaussian process models. First to a scale of their own: 0 at the
// best value seen, 1 at the median, everything far worse cut off (a diverged run must not decide
// the scale). Then z = log(1 + t / c), shifted and scaled to mean 0 and variance 1: a small c
// spreads the good values, a large c leaves them as they are; the fit chooses c by likelihood.
// Pure; thread-safe.
#ifndef TRAINYARD_SCHEDULER_TUNING_OUTPUT_WARP_H_
#define TRAINYARD_SCHEDULER_TUNING_OUTPUT_WARP_H_

#include <Eigen/Core>
#include <vector>

namespace trainyard::tuning {

// t of every objective, within [0, kWorstScaled]; infeasible ones are given as infinity and get
// the worst of the others. All zero when nothing differs.
inline constexpr double kWorstScaled = 1e4;
Eigen::VectorXd ScaleObjectives(const std::vector<double>& objectives);

// What is 1 on that scale; 0 when nothing differs.
double ScaleUnit(const std::vector<double>& objectives);

// Slopes dz/dt at every t.
Eigen::VectorXd WarpSlopes(const Eigen::VectorXd& t, double c);

// z of every t. `log_jacobian` (may be null) gets the sum of log dz/dt.
Eigen::VectorXd WarpOutputs(const Eigen::VectorXd& t, double c, double* log_jacobian);

// z that an objective y would have beside `objectives`, warped with c.
double WarpedLike(const std::vector<double>& objectives, double c, double y);

// From z back to objectives.
class Unwarped {
 public:
  // `objectives` are finite, `t` is their scale, `c` the warp that z was made with.
  Unwarped(const std::vector<double>& objectives, const Eigen::VectorXd& t, double c);
  // Cut where the data end above, and one range below the best.
  double operator()(double z) const;

 private:
  double c_;
  double best_ = 0;
  double half_unit_ = 0;  // halves: the widest range of doubles fits
  double worst_ = 0;
  double mean_ = 0;
  double deviation_ = 1;
};

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_OUTPUT_WARP_H_
