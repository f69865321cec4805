// See front_gain.h.
#include "scheduler/tuning/front_gain.h"

#include <algorithm>

#include "scheduler/tuning/math.h"

namespace trainyard::tuning {
namespace {

constexpr double kLeast = 1e-300;

// Of the length by which a normal value falls short of a limit: mean, and its derivatives.
struct Shortfall {
  double length = 0;
  double by_mean = 0;
  double by_deviation = 0;
};

Shortfall ShortfallBelow(double limit, const Expected& value) {
  const double z = (limit - value.mean) / value.deviation;
  double unused;
  const double length = value.deviation * Exp(LogImprovement(z, &unused));
  return {length, -NormalCdf(z), NormalPdf(z)};
}

}  // namespace

FrontGain::FrontGain(std::vector<Goals> points, const Goals& reference) : reference_(reference) {
  std::sort(points.begin(), points.end());
  double least = reference[1];
  for (const Goals& point : points) {
    if (!(point[0] < reference[0]) || !(point[1] < least)) continue;
    least = point[1];
    front_.push_back(point);
  }
}

double FrontGain::LogAt(const Expected& first, const Expected& second,
                        std::array<double, 4>* slopes) const {
  double gain = 0;
  std::array<double, 4> sums = {};
  // Strips between neighbours of the front; each is open below the point on its left.
  Shortfall left;
  for (size_t i = 0; i <= front_.size(); ++i) {
    const double right_end = i < front_.size() ? front_[i][0] : reference_[0];
    const Shortfall right = ShortfallBelow(right_end, first);
    const Shortfall below = ShortfallBelow(i > 0 ? front_[i - 1][1] : reference_[1], second);
    const double width = std::max(0.0, right.length - left.length);
    gain += width * below.length;
    sums[0] += (right.by_mean - left.by_mean) * below.length;
    sums[1] += (right.by_deviation - left.by_deviation) * below.length;
    sums[2] += width * below.by_mean;
    sums[3] += width * below.by_deviation;
    left = right;
  }
  const bool some = gain > kLeast;
  if (slopes != nullptr) {
    for (size_t i = 0; i < 4; ++i) (*slopes)[i] = some ? sums[i] / gain : 0;
  }
  return Log(std::max(gain, kLeast));
}

}  // namespace trainyard::tuning
