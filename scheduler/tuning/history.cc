// See history.h.
#include "scheduler/tuning/history.h"

#include <algorithm>
#include <cmath>

namespace trainyard::tuning {

History::History(const v1::StudySpec& spec, const Space& space)
    : space_(space),
      select_best_(spec.selection() == v1::StudySpec::BEST),
      use_elapsed_(spec.stopping().use_elapsed_duration()) {
  for (const auto& metric : spec.metrics()) {
    metrics_.push_back({metric.metric_id(), metric.goal() == v1::StudySpec::MAXIMIZE});
  }
}

const Entry* History::Find(int32_t id) const {
  const auto it = entries_.find(id);
  return it == entries_.end() ? nullptr : &it->second;
}

std::optional<double> History::ValueIn(const v1::Measurement& measurement,
                                       const Metric& metric) const {
  for (const auto& value : measurement.metrics()) {
    if (value.metric_id() != metric.id) continue;
    if (!std::isfinite(value.value())) return std::nullopt;
    return metric.maximize ? -value.value() : value.value();
  }
  return std::nullopt;
}

void History::ReadObjectives(const TrialRecord& record, Objectives* objectives) const {
  const v1::Measurement* chosen = nullptr;
  if (record.final_measurement.has_value()) {
    chosen = &*record.final_measurement;
  } else {
    double best = 0;
    for (const auto& measurement : record.measurements) {
      const auto value = ValueIn(measurement, metrics_[0]);
      if (!value.has_value()) continue;
      if (chosen == nullptr || !select_best_ || *value < best) {
        chosen = &measurement;
        best = *value;
      }
    }
  }
  objectives->clear();
  if (chosen == nullptr) return;
  for (const Metric& metric : metrics_) {
    const auto value = ValueIn(*chosen, metric);
    if (!value.has_value()) {
      objectives->clear();
      return;
    }
    objectives->push_back(*value);
  }
}

void History::Discount(int32_t id) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) return;
  const auto key = keys_.find(it->second.key);
  if (--key->second == 0) keys_.erase(key);
  if (it->second.status == Entry::kSucceeded) ranking_.erase({it->second.objectives[0], id});
  if (it->second.status == Entry::kInfeasible) --infeasible_;
  if (it->second.held) --held_;
}

void History::Observe(const TrialRecord& record) {
  Discount(record.id);
  Entry entry;
  entry.id = record.id;
  entry.point = space_.FromParameters(record.parameters);
  entry.key = KeyOf(entry.point);
  entry.running = record.state == v1::ACTIVE && !record.held;
  entry.stopped_early = record.stopped_early;
  entry.end_seconds = record.end_seconds;
  for (const auto& measurement : record.measurements) {
    const auto value = ValueIn(measurement, metrics_[0]);
    if (!value.has_value()) continue;
    const auto& elapsed = measurement.elapsed();
    const double step = use_elapsed_ ? static_cast<double>(elapsed.seconds()) +
                                           1e-9 * static_cast<double>(elapsed.nanos())
                                     : static_cast<double>(measurement.step());
    entry.curve.push_back({step, *value});
    if (record.resumed_step > 0 && measurement.step() <= record.resumed_step) {
      entry.resumed_from = std::max(entry.resumed_from, step);
    }
  }
  std::stable_sort(entry.curve.begin(), entry.curve.end(),
                   [](const CurvePoint& a, const CurvePoint& b) { return a.step < b.step; });
  if (record.state == v1::TRIAL_SUCCEEDED) {
    ReadObjectives(record, &entry.objectives);
    entry.status = entry.objectives.empty() ? Entry::kInfeasible : Entry::kSucceeded;
  } else if (record.state == v1::INFEASIBLE) {
    entry.status = Entry::kInfeasible;
  } else if (record.held) {
    ReadObjectives(record, &entry.objectives);
    entry.held = !entry.objectives.empty();
    entry.stopped_early = entry.held;
    if (entry.held) entry.status = Entry::kSucceeded;
  }
  if (entry.held) ++held_;
  if (entry.status == Entry::kSucceeded) ranking_.insert({entry.objectives[0], record.id});
  if (entry.status == Entry::kInfeasible) ++infeasible_;
  ++keys_[entry.key];
  entries_.Put(std::move(entry));
}

}  // namespace trainyard::tuning
