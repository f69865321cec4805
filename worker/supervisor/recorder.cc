// See recorder.h.
#include "worker/supervisor/recorder.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "worker/core/launch_spec.h"

namespace trainyard::worker {
namespace {

using nlohmann::json;

constexpr size_t kNamesMax = 1000;

std::string Line(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

json NumberOrText(double value) {
  if (std::isfinite(value)) return value;
  if (std::isnan(value)) return "nan";
  return value > 0 ? "inf" : "-inf";
}

}  // namespace

std::string FormatMetric(const MetricLine& point) {
  return Line({{"name", point.name},
               {"step", point.step},
               {"value", NumberOrText(point.value)},
               {"rank", point.rank},
               {"time_us", point.time_us}});
}

bool Recorder::Open() { return metrics_.Open(layout::kMetrics) && events_.Open(layout::kEvents); }

void Recorder::Metrics(const std::vector<MetricLine>& points) {
  std::string lines;
  for (const MetricLine& point : points) {
    lines += FormatMetric(point);
    if (names_.size() < kNamesMax) names_.insert(point.name);
    last_step_ = std::max(last_step_, point.step);
  }
  if (!lines.empty()) metrics_.Append(lines);
}

void Recorder::Running(int pid) { events_.Append(Line({{"running", {{"pid", pid}}}})); }

void Recorder::Rank(int32_t rank, int pid) {
  events_.Append(Line({{"rank", {{"rank", rank}, {"pid", pid}}}}));
}

void Recorder::Checkpoint(int64_t step, const std::string& path) {
  events_.Append(Line({{"checkpoint", {{"step", step}, {"path", path}}}}));
  last_step_ = std::max(last_step_, step);
}

void Recorder::Spawn(int32_t member, const std::vector<std::string>& argv) {
  events_.Append(Line({{"spawn", {{"member", member}, {"argv", argv}}}}));
}

void Recorder::Stopping(const std::string& reason) {
  events_.Append(Line({{"stopping", {{"reason", reason}}}}));
}

std::vector<std::string> Recorder::names() const { return {names_.begin(), names_.end()}; }

}  // namespace trainyard::worker
