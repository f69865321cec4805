// Where to try next, given a Gaussian process: the point of the search space with the greatest
// expected improvement. Candidates all over the space and around the best points are screened; the
// best few are climbed, smooth parameters by gradient, others one neighbour at a time. Points are
// always looked at as they would be tried, after rounding. Pure; thread-safe.
#ifndef TRAINYARD_SCHEDULER_TUNING_ACQUISITION_H_
#define TRAINYARD_SCHEDULER_TUNING_ACQUISITION_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "scheduler/tuning/front_gain.h"
#include "scheduler/tuning/gp.h"
#include "scheduler/tuning/space.h"

namespace trainyard::tuning {

using Features = std::vector<double>;

// A metric that must stay below a limit.
struct AcquisitionLimit {
  const GpPosterior* posterior;
  double most;  // z of the limit
};

struct AcquisitionProblem {
  const Space* space = nullptr;
  const GpPosterior* posterior = nullptr;
  double threshold = 0;  // improvement is below this z
  // Two goals: what counts is the expected gain of the front; `posterior` is of the first goal.
  const GpPosterior* second = nullptr;
  const FrontGain* front = nullptr;
  // Expected improvement is weighted by the chance to keep these, `caution` times over; alone it
  // counts while nothing that keeps them is known.
  std::vector<AcquisitionLimit> limits;
  double caution = 1;
  bool only_limits = false;
  std::vector<Features> centers;            // good points, best first; at least one
  std::function<bool(const Point&)> taken;  // must not be proposed
  // Half the side of a box round centers[0] that is searched; 1 or more: everything.
  double radius = 1;
  int pinned = -1;  // a dimension that keeps its value of centers[0]
  // How far (largest coordinate) from the nearest of `seen` (one point a row) a point may lie.
  double reach = 1;
  const Eigen::MatrixXd* seen = nullptr;
  int candidates = 500;
  int climbs = 4;
  int climb_evaluations = 25;
  uint64_t seed = 0;
};

struct Proposal {
  Point point;
  double log_improvement = 0;  // expected, in units of z; of two goals, of their area
};
// The best point found, or nothing when every one looked at is taken.
std::optional<Proposal> MaximizeImprovement(const AcquisitionProblem& problem);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_ACQUISITION_H_
