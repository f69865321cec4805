// See parzen.h.
#include "scheduler/tuning/parzen.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "scheduler/tuning/math.h"

namespace trainyard::tuning {
namespace {

constexpr double kRootTwoPi = 2.50662827463100050242;
constexpr double kBandwidthMin = 1e-3;
constexpr double kBroadest = 0.2;

double Spread(const std::vector<double>& values) {
  double mean = 0;
  double squares = 0;
  int count = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    ++count;
    const double off = value - mean;
    mean += off / count;
    squares += off * (value - mean);
  }
  return count > 1 ? std::sqrt(squares / (count - 1)) : kBroadest;
}

}  // namespace

ParzenDensity::ParzenDensity(const Space& space, const std::vector<const Point*>& points,
                             bool narrow)
    : space_(space), components_(points.size()) {
  // Scott's exponent over the number of points and dimensions.
  const double n = static_cast<double>(std::max<size_t>(1, components_));
  const double shrink = Exp(-Log(n) / (space.size() + 4));
  for (int d = 0; d < space.size(); ++d) {
    const Dimension& dimension = space.dimension(d);
    std::vector<double> column;
    for (const Point* point : points) {
      const double value = (*point)[static_cast<size_t>(d)];
      column.push_back(
          std::isnan(value) || dimension.is_categorical() ? value : dimension.ToFeature(value));
    }
    double bandwidth = kBroadest * shrink;
    if (narrow && !dimension.is_categorical()) {
      bandwidth = std::min(bandwidth, 1.06 * shrink * Spread(column));
    }
    double least = kBandwidthMin;
    if (dimension.Levels() > 1) least = std::max(least, 0.4 / dimension.Levels());
    bandwidth_.push_back(std::max(bandwidth, least));
    same_.push_back(1 - 0.6 * shrink);
    features_.push_back(std::move(column));
  }
}

Point ParzenDensity::Draw(Random* random) const {
  const size_t component = random->Below(components_ + 1);
  std::vector<double> features(static_cast<size_t>(space_.size()));
  for (int d = 0; d < space_.size(); ++d) {
    double& feature = features[static_cast<size_t>(d)];
    feature = random->Uniform();
    if (component == components_) continue;
    const double center = features_[static_cast<size_t>(d)][component];
    if (std::isnan(center)) continue;
    const Dimension& dimension = space_.dimension(d);
    if (dimension.is_categorical()) {
      if (random->Uniform() < same_[static_cast<size_t>(d)]) feature = dimension.ToFeature(center);
      continue;
    }
    for (int tries = 0; tries < 20; ++tries) {
      const double drawn = center + bandwidth_[static_cast<size_t>(d)] * NormalDraw(random);
      if (drawn < 0 || drawn > 1) continue;
      feature = drawn;
      break;
    }
  }
  return space_.FromFeatures(features);
}

double ParzenDensity::LogDensity(const Point& point) const {
  std::vector<double> logs(components_ + 1, 0.0);
  for (int d = 0; d < space_.size(); ++d) {
    const auto column = static_cast<size_t>(d);
    const double value = point[column];
    if (std::isnan(value)) continue;
    const Dimension& dimension = space_.dimension(d);
    if (dimension.is_categorical()) {
      const double others = (1 - same_[column]) / dimension.Levels();
      const double hit = Log((same_[column] + others) * dimension.Levels());
      const double miss = Log(others * dimension.Levels());
      for (size_t i = 0; i < components_; ++i) {
        const double center = features_[column][i];
        if (!std::isnan(center)) logs[i] += center == value ? hit : miss;
      }
      continue;
    }
    const double feature = dimension.ToFeature(value);
    const double inverse = 1 / bandwidth_[column];
    const double log_peak = Log(inverse / kRootTwoPi);
    for (size_t i = 0; i < components_; ++i) {
      const double center = features_[column][i];
      if (std::isnan(center)) continue;
      const double off = (feature - center) * inverse;
      logs[i] += log_peak - 0.5 * off * off;
    }
  }
  const double most = *std::max_element(logs.begin(), logs.end());
  double sum = 0;
  for (const double value : logs) sum += Exp(value - most);
  return most + Log(sum / static_cast<double>(logs.size()));
}

}  // namespace trainyard::tuning
