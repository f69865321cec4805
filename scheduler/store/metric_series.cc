// See metric_series.h.
#include "scheduler/store/metric_series.h"

#include <algorithm>

namespace trainyard::store {

void MetricSeries::Add(uint64_t epoch, const SeriesPoint& point) {
  if (epoch < epoch_) return;
  if (epoch > epoch_) {
    const auto replaced = [&point](const SeriesPoint& old) { return old.step >= point.step; };
    if (has_last_) kept_.push_back(last_);
    kept_.erase(std::remove_if(kept_.begin(), kept_.end(), replaced), kept_.end());
    epoch_ = epoch;
    seen_ = 0;
  }
  if (seen_++ % stride_ == 0) kept_.push_back(point);
  last_ = point;
  has_last_ = true;
  if (kept_.size() < kSeriesPointsMax) return;
  size_t out = 0;
  for (size_t i = 0; i < kept_.size(); i += 2) kept_[out++] = kept_[i];
  kept_.resize(out);
  stride_ *= 2;
}

std::vector<SeriesPoint> MetricSeries::Points(size_t points_max) const {
  std::vector<SeriesPoint> points = kept_;
  if (has_last_) points.push_back(last_);
  std::stable_sort(points.begin(), points.end(),
                   [](const auto& a, const auto& b) { return a.step < b.step; });
  // Of equal steps the last that came.
  size_t out = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    if (i + 1 < points.size() && points[i + 1].step == points[i].step) continue;
    points[out++] = points[i];
  }
  points.resize(out);
  points_max = std::max<size_t>(2, points_max);
  if (points.size() <= points_max) return points;
  std::vector<SeriesPoint> thinned;
  thinned.reserve(points_max);
  for (size_t i = 0; i < points_max; ++i) {
    thinned.push_back(points[i * (points.size() - 1) / (points_max - 1)]);
  }
  return thinned;
}

}  // namespace trainyard::store
