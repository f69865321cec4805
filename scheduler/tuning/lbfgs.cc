// See lbfgs.h.
#include "scheduler/tuning/lbfgs.h"

#include <algorithm>
#include <cmath>
#include <deque>

namespace trainyard::tuning {
namespace {

using Vector = std::vector<double>;
constexpr size_t kMemory = 8;

struct Step {
  Vector dx;
  Vector dg;
  double curvature;
};

double Dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Coordinates at a bound whose gradient pushes outwards do not move.
bool Held(const BoxProblem& problem, const Vector& x, const Vector& gradient, size_t i) {
  return (x[i] <= problem.low[i] && gradient[i] > 0) ||
         (x[i] >= problem.high[i] && gradient[i] < 0);
}

// -H g by the two-loop recursion, zero on held coordinates.
Vector Direction(const BoxProblem& problem, const std::deque<Step>& steps, const Vector& x,
                 const Vector& gradient) {
  Vector q = gradient;
  for (size_t i = 0; i < q.size(); ++i) {
    if (Held(problem, x, gradient, i)) q[i] = 0;
  }
  Vector weights(steps.size());
  for (size_t k = steps.size(); k-- > 0;) {
    weights[k] = Dot(steps[k].dx, q) / steps[k].curvature;
    for (size_t i = 0; i < q.size(); ++i) q[i] -= weights[k] * steps[k].dg[i];
  }
  if (!steps.empty()) {
    const Step& last = steps.back();
    const double scale = last.curvature / Dot(last.dg, last.dg);
    for (double& v : q) v *= scale;
  }
  for (size_t k = 0; k < steps.size(); ++k) {
    const double b = Dot(steps[k].dg, q) / steps[k].curvature;
    for (size_t i = 0; i < q.size(); ++i) q[i] += (weights[k] - b) * steps[k].dx[i];
  }
  for (size_t i = 0; i < q.size(); ++i) q[i] = Held(problem, x, gradient, i) ? 0 : -q[i];
  return q;
}

double ProjectedNorm(const BoxProblem& problem, const Vector& x, const Vector& gradient) {
  double norm = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!Held(problem, x, gradient, i)) norm = std::max(norm, std::abs(gradient[i]));
  }
  return norm;
}

Vector Moved(const BoxProblem& problem, const Vector& x, const Vector& direction, double length) {
  Vector out(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    out[i] = std::clamp(x[i] + length * direction[i], problem.low[i], problem.high[i]);
  }
  return out;
}

double FirstLength(const BoxProblem& problem, const Vector& direction) {
  double length = 1;  // no further than a quarter of the box in any coordinate
  for (size_t i = 0; i < direction.size(); ++i) {
    const double most = 0.25 * (problem.high[i] - problem.low[i]);
    if (std::abs(direction[i]) * length > most) length = most / std::abs(direction[i]);
  }
  return length;
}

}  // namespace

BoxMinimum MinimizeInBox(const BoxProblem& problem, Vector start) {
  for (size_t i = 0; i < start.size(); ++i) {
    start[i] = std::clamp(start[i], problem.low[i], problem.high[i]);
  }
  BoxMinimum best{std::move(start), 0, 1};
  Vector gradient(best.x.size());
  best.value = problem.function(best.x, &gradient);
  if (!std::isfinite(best.value)) return best;
  std::deque<Step> steps;
  while (best.evaluations < problem.evaluations_max) {
    if (ProjectedNorm(problem, best.x, gradient) < problem.tolerance) break;
    Vector direction = Direction(problem, steps, best.x, gradient);
    if (!(Dot(direction, gradient) < 0)) {
      steps.clear();
      direction = Direction(problem, steps, best.x, gradient);
    }
    double length = steps.empty() ? FirstLength(problem, direction) : 1;
    Vector next_gradient(best.x.size());
    Vector next;
    double value = 0;
    bool accepted = false;
    while (!accepted && best.evaluations < problem.evaluations_max && length > 1e-10) {
      next = Moved(problem, best.x, direction, length);
      value = problem.function(next, &next_gradient);
      ++best.evaluations;
      double expected = 0;
      for (size_t i = 0; i < next.size(); ++i) expected += gradient[i] * (next[i] - best.x[i]);
      accepted = std::isfinite(value) && value <= best.value + 1e-4 * expected && expected < 0;
      length *= std::isfinite(value) ? 0.4 : 0.1;
    }
    if (!accepted) {
      if (steps.empty()) break;
      steps.clear();
      continue;
    }
    Step step{Vector(next.size()), Vector(next.size()), 0};
    for (size_t i = 0; i < next.size(); ++i) {
      step.dx[i] = next[i] - best.x[i];
      step.dg[i] = next_gradient[i] - gradient[i];
    }
    step.curvature = Dot(step.dx, step.dg);
    const double gain = best.value - value;
    best.x = std::move(next);
    best.value = value;
    gradient = std::move(next_gradient);
    if (step.curvature > 1e-12 * Dot(step.dx, step.dx)) steps.push_back(std::move(step));
    if (steps.size() > kMemory) steps.pop_front();
    if (gain < problem.tolerance * 1e-2 * (1 + std::abs(value))) break;
  }
  return best;
}

}  // namespace trainyard::tuning
