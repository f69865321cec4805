// Minimises a smooth function inside a box: limited-memory BFGS (Nocedal, 1980) on the free
// coordinates, projected steps, Armijo's rule. Deterministic; pure but for what the function does.
#ifndef TRAINYARD_SCHEDULER_TUNING_LBFGS_H_
#define TRAINYARD_SCHEDULER_TUNING_LBFGS_H_

#include <functional>
#include <vector>

namespace trainyard::tuning {

struct BoxProblem {
  // Value at x; fills the gradient. A value that is no finite number is a wall.
  std::function<double(const std::vector<double>& x, std::vector<double>* gradient)> function;
  std::vector<double> low;
  std::vector<double> high;
  int evaluations_max = 50;
  double tolerance = 1e-5;  // on the projected gradient and the relative gain of a step
};

struct BoxMinimum {
  std::vector<double> x;
  double value = 0;
  int evaluations = 0;
};

// From `start`, moved into the box first.
BoxMinimum MinimizeInBox(const BoxProblem& problem, std::vector<double> start);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_LBFGS_H_
