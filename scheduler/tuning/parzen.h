// A density over points of a search space: an even mixture of one broad component and one kernel
// round each given point. Kernels are truncated normals on the features of numbers, and mostly
// "the same" on categories. A dimension that is not active in a component is uniform under it.
// Immutable after construction; pure.
#ifndef TRAINYARD_SCHEDULER_TUNING_PARZEN_H_
#define TRAINYARD_SCHEDULER_TUNING_PARZEN_H_

#include <vector>

#include "common/random.h"
#include "scheduler/tuning/space.h"

namespace trainyard::tuning {

class ParzenDensity {
 public:
  // `narrow`: bandwidths follow the points' spread, else their number alone.
  ParzenDensity(const Space& space, const std::vector<const Point*>& points, bool narrow);

  Point Draw(Random* random) const;
  double LogDensity(const Point& point) const;

 private:
  const Space& space_;
  size_t components_;
  std::vector<std::vector<double>> features_;  // a dimension: a component; NaN: not active
  std::vector<double> bandwidth_;              // a dimension
  std::vector<double> same_;                   // a dimension: probability to keep the category
};

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_PARZEN_H_
