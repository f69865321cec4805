// See trust_region.h.
#include "scheduler/tuning/trust_region.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace trainyard::tuning {
namespace {

constexpr double kBegin = 0.4;
constexpr double kLeast = 0.01;  // smaller: begun anew
constexpr double kMost = 0.8;
constexpr double kAfterJump = 0.2;  // at least, round a best point that was found elsewhere
constexpr int kSuccesses = 3;
constexpr int kFailuresLeast = 4;

bool Inside(const Space& space, const Features& center, const Features& at, double radius) {
  for (int d = 0; d < space.size(); ++d) {
    const auto i = static_cast<size_t>(d);
    if (space.dimension(d).is_categorical()) continue;
    if (std::abs(center[i] - at[i]) > radius * 1.001) return false;
  }
  return true;
}

}  // namespace

double TrustRadius(const std::vector<Observation>& all, const Space& space, size_t skip,
                   bool noisy) {
  const int patience = std::max(kFailuresLeast, space.size());
  double radius = kBegin;
  double best = std::numeric_limits<double>::infinity();
  const Features* center = nullptr;
  int successes = 0;
  int failures = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const bool success = all[i].value < best;
    const bool inside = center != nullptr && Inside(space, *center, all[i].features, radius);
    if (success) {
      best = all[i].value;
      center = &all[i].features;
    }
    if (i < skip) continue;
    if (!inside && !noisy) {
      if (success) radius = std::max(radius, kAfterJump);
      continue;
    }
    successes = success ? successes + 1 : 0;
    failures = success ? 0 : failures + 1;
    if (successes >= kSuccesses) {
      radius = std::min(kMost, radius * 2);
      successes = 0;
    }
    if (failures >= patience) {
      radius /= 2;
      failures = 0;
    }
    if (radius < kLeast) radius = kBegin;
  }
  return radius;
}

}  // namespace trainyard::tuning
