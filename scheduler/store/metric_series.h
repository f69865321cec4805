// One curve, thinned while it grows: at most kSeriesPointsMax points in memory, the newest always
// among them. A new attempt (greater epoch) replaces the points at and after the step it began
// with; points of an older attempt that come late are left out. Thread-compatible.
#ifndef TRAINYARD_SCHEDULER_STORE_METRIC_SERIES_H_
#define TRAINYARD_SCHEDULER_STORE_METRIC_SERIES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace trainyard::store {

inline constexpr size_t kSeriesPointsMax = 4096;

struct SeriesPoint {
  int64_t step = 0;
  double value = 0;
  int64_t time_us = 0;
};

class MetricSeries {
 public:
  void Add(uint64_t epoch, const SeriesPoint& point);
  // By rising step, one point a step (the last that came), evenly thinned to at most `points_max`
  // (at least 2) with the first and the last kept.
  std::vector<SeriesPoint> Points(size_t points_max) const;
  size_t size() const { return kept_.size() + 1; }

 private:
  std::vector<SeriesPoint> kept_;
  SeriesPoint last_;
  bool has_last_ = false;
  uint64_t epoch_ = 0;
  uint64_t seen_ = 0;    // since the epoch began
  uint64_t stride_ = 1;  // of those seen, one in so many is kept
};

}  // namespace trainyard::store

#endif  // TRAINYARD_SCHEDULER_STORE_METRIC_SERIES_H_
