// See measurements.h.
#include "scheduler/core/measurements.h"

#include <algorithm>
#include <cmath>

namespace trainyard::core {
namespace {

// Equal, or both not a number.
bool SameNumber(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

void MergeMetrics(const v1::Measurement& from, v1::Measurement* into) {
  for (const v1::MetricValue& metric : from.metrics()) {
    const auto same = std::find_if(
        into->mutable_metrics()->begin(), into->mutable_metrics()->end(),
        [&](const v1::MetricValue& old) { return old.metric_id() == metric.metric_id(); });
    if (same != into->mutable_metrics()->end()) {
      same->set_value(metric.value());
    } else {
      *into->add_metrics() = metric;
    }
  }
  if (from.has_elapsed()) *into->mutable_elapsed() = from.elapsed();
}

void Thin(records::TrialRow* trial) {
  auto* curve = trial->mutable_measurements();
  if (curve->size() <= kMeasurementsMax) return;
  int kept = 0;
  for (int i = 0; i < curve->size(); ++i) {
    if (i % 2 == 0 || i == curve->size() - 1) curve->SwapElements(kept++, i);
  }
  curve->DeleteSubrange(kept, curve->size() - kept);
}

void KeepBest(const v1::StudySpec& spec, const v1::Measurement& point, records::TrialRow* trial) {
  if (spec.metrics().empty()) return;
  const v1::StudySpec::Metric& metric = spec.metrics(0);
  const std::optional<double> value = FindMetric(point, metric.metric_id());
  if (!value.has_value() || !std::isfinite(*value)) return;
  if (trial->has_best_measurement()) {
    const double best = *FindMetric(trial->best_measurement(), metric.metric_id());
    const bool better = metric.goal() == v1::StudySpec::MINIMIZE ? *value < best : *value > best;
    if (!better) return;
  }
  *trial->mutable_best_measurement() = point;
}

void FindBest(const v1::StudySpec& spec, records::TrialRow* trial) {
  trial->clear_best_measurement();
  for (const v1::Measurement& point : trial->measurements()) KeepBest(spec, point, trial);
}

// The metric's newest value up to `step`, else its first one after.
std::optional<double> NearStep(const records::TrialRow& trial, int64_t step,
                               absl::string_view metric_id) {
  std::optional<double> near;
  for (const v1::Measurement& point : trial.measurements()) {
    if (point.step() > step && near.has_value()) break;
    if (const auto value = FindMetric(point, metric_id); value.has_value()) near = value;
  }
  return near;
}

}  // namespace

void AddMeasurementTo(const v1::StudySpec& spec, const v1::Measurement& point,
                      records::TrialRow* trial) {
  auto* curve = trial->mutable_measurements();
  int at = curve->size();
  while (at > 0 && curve->Get(at - 1).step() > point.step()) --at;
  if (at > 0 && curve->Get(at - 1).step() == point.step()) {
    MergeMetrics(point, curve->Mutable(at - 1));
    if (trial->has_best_measurement() && trial->best_measurement().step() == point.step()) {
      FindBest(spec, trial);  // what was the best may have been taken back
    } else {
      KeepBest(spec, curve->Get(at - 1), trial);
    }
    return;
  }
  *curve->Add() = point;
  for (int i = curve->size() - 1; i > at; --i) curve->SwapElements(i, i - 1);
  KeepBest(spec, point, trial);
  Thin(trial);
}

std::optional<double> FindMetric(const v1::Measurement& measurement, absl::string_view metric_id) {
  for (const v1::MetricValue& metric : measurement.metrics()) {
    if (absl::string_view(metric.metric_id()) == metric_id) return metric.value();
  }
  return std::nullopt;
}

bool HasMeasurement(const records::TrialRow& trial, const v1::Measurement& point) {
  for (int i = trial.measurements_size() - 1; i >= 0; --i) {
    const v1::Measurement& old = trial.measurements(i);
    if (old.step() < point.step()) return false;
    if (old.step() > point.step()) continue;
    return std::all_of(point.metrics().begin(), point.metrics().end(),
                       [&](const v1::MetricValue& metric) {
                         const std::optional<double> value = FindMetric(old, metric.metric_id());
                         return value.has_value() && SameNumber(*value, metric.value());
                       });
  }
  return false;
}

std::optional<v1::Measurement> OnlyStudyMetrics(const v1::StudySpec& spec,
                                                const v1::Measurement& point) {
  v1::Measurement kept;
  for (const v1::MetricValue& metric : point.metrics()) {
    const bool named = std::any_of(spec.metrics().begin(), spec.metrics().end(),
                                   [&](const v1::StudySpec::Metric& wanted) {
                                     return wanted.metric_id() == metric.metric_id();
                                   });
    if (named) *kept.add_metrics() = metric;
  }
  if (kept.metrics().empty()) return std::nullopt;
  if (point.has_step()) kept.set_step(point.step());
  if (point.has_elapsed()) *kept.mutable_elapsed() = point.elapsed();
  return kept;
}

v1::Measurement FinalMeasurement(const v1::StudySpec& spec, const records::TrialRow& trial,
                                 std::vector<std::string>* missing) {
  v1::Measurement last;
  const bool best = spec.selection() == v1::StudySpec::BEST && trial.has_best_measurement();
  if (best) {
    last = trial.best_measurement();
  } else if (!trial.measurements().empty()) {
    last = *trial.measurements().rbegin();
  }
  for (const v1::StudySpec::Metric& metric : spec.metrics()) {
    if (FindMetric(last, metric.metric_id()).has_value()) continue;
    const auto near = NearStep(trial, last.step(), metric.metric_id());
    if (!near.has_value()) {
      missing->push_back(metric.metric_id());
      continue;
    }
    v1::MetricValue* added = last.add_metrics();
    added->set_metric_id(metric.metric_id());
    added->set_value(*near);
  }
  return last;
}

std::string NotANumber(const v1::Measurement& measurement) {
  for (const v1::MetricValue& metric : measurement.metrics()) {
    if (!std::isfinite(metric.value())) return metric.metric_id();
  }
  return "";
}

}  // namespace trainyard::core
