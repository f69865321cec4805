// See metric_view.h.
#include "client/cli/metric_view.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/job_view.h"
#include "client/cli/trial_view.h"

namespace trainyard::cli {
namespace {

constexpr size_t kCurveCells = 24;

using Key = std::tuple<std::string, int32_t, int32_t>;  // metric, trial, rank

std::string Short(double value) { return absl::StrFormat("%.6g", value); }

// Means of equal parts, so that the whole curve shows.
std::vector<double> Thinned(const std::vector<double>& values) {
  if (values.size() <= kCurveCells) return values;
  std::vector<double> out;
  for (size_t i = 0; i < kCurveCells; ++i) {
    const size_t from = i * values.size() / kCurveCells;
    const size_t to = std::max(from + 1, (i + 1) * values.size() / kCurveCells);
    double sum = 0;
    for (size_t j = from; j < to; ++j) sum += values[j];
    out.push_back(sum / static_cast<double>(to - from));
  }
  return out;
}

std::vector<std::string> RowOf(const Key& key, const std::vector<const v1::MetricPoint*>& points,
                               bool trials, bool ranks) {
  std::vector<double> values;
  double low = NAN;
  double high = NAN;
  for (const v1::MetricPoint* point : points) {
    values.push_back(point->value());
    low = std::fmin(low, point->value());  // fmin passes over not-a-number
    high = std::fmax(high, point->value());
  }
  std::vector<std::string> row = {std::get<0>(key)};
  if (trials) row.push_back(absl::StrCat(std::get<1>(key)));
  if (ranks) row.push_back(absl::StrCat(std::get<2>(key)));
  row.insert(row.end(), {absl::StrCat(points.back()->step()), Short(points.back()->value()),
                         Short(low), Short(high), Sparkline(Thinned(values), kCurveCells)});
  return row;
}

}  // namespace

Table MetricTable(const v1::ListMetricsResponse& response) {
  std::map<Key, std::vector<const v1::MetricPoint*>> curves;
  std::set<int32_t> trials;
  std::set<int32_t> ranks;
  for (const v1::MetricPoint& point : response.points()) {
    curves[{point.name(), point.trial(), point.rank()}].push_back(&point);
    trials.insert(point.trial());
    ranks.insert(point.rank());
  }
  const bool with_trials = trials.size() > 1 || trials.count(0) == 0;
  const bool with_ranks = ranks.size() > 1;
  Table table;
  table.headers = {"METRIC"};
  if (with_trials) table.headers.push_back("TRIAL");
  if (with_ranks) table.headers.push_back("RANK");
  table.headers.insert(table.headers.end(), {"STEP", "LAST", "MIN", "MAX", "CURVE"});
  table.right.assign(table.headers.size(), true);
  table.right.front() = table.right.back() = false;
  for (const auto& [key, points] : curves) {
    table.rows.push_back(RowOf(key, points, with_trials, with_ranks));
    table.names.push_back(std::get<0>(key));
  }
  return table;
}

std::string SlowRank(const v1::ListMetricsResponse& response) {
  const v1::MetricPoint* named = nullptr;
  for (const v1::MetricPoint& point : response.points()) {
    if (point.name() != "straggler") continue;
    if (named == nullptr ||
        std::pair(point.trial(), point.step()) >= std::pair(named->trial(), named->step())) {
      named = &point;
    }
  }
  if (named == nullptr) return "";
  double slow = 0;
  int64_t last = 0;
  std::map<int32_t, double> others;  // by rank
  for (const v1::MetricPoint& point : response.points()) {
    if (point.name() != "step_seconds" || point.trial() != named->trial()) continue;
    last = std::max(last, point.step());
    if (point.step() != named->step()) continue;
    if (point.rank() == static_cast<int32_t>(named->value())) {
      slow = point.value();
    } else {
      others[point.rank()] = point.value();
    }
  }
  if (last > named->step() || others.empty()) return "";
  std::vector<double> sorted;
  for (const auto& [rank, seconds] : others) sorted.push_back(seconds);
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted[(sorted.size() - 1) / 2];
  return absl::StrFormat("rank %d, %.3g s a step, %.1f times as long as the others (step %d)",
                         static_cast<int>(named->value()), slow, slow / std::max(median, 1e-9),
                         named->step());
}

Table CurveTable(const v1::ListMetricsResponse& response) {
  Table table;
  table.headers = {"METRIC", "TRIAL", "RANK", "STEP", "VALUE", "TIME"};
  table.right = {false, true, true, true, true, false};
  for (const v1::MetricPoint& point : response.points()) {
    table.rows.push_back(
        {point.name(), absl::StrCat(point.trial()), absl::StrCat(point.rank()),
         absl::StrCat(point.step()), NumberText(point.value()),
         absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", TimeOf(point.time()), absl::UTCTimeZone())});
    table.names.push_back(point.name());
  }
  return table;
}

}  // namespace trainyard::cli
