// See stopping.h.
#include "scheduler/tuning/stopping.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace trainyard::tuning {
namespace {

constexpr int kMinTrialsDefault = 5;
constexpr double kFactorDefault = 3;

double Median(std::vector<double> values) {
  const size_t middle = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + middle, values.end());
  const double upper = values[middle];
  if (values.size() % 2 == 1) return upper;
  const double lower = *std::max_element(values.begin(), values.begin() + middle);
  return lower / 2 + upper / 2;
}

// Mean value of the curve up to `step`; nothing when it has no point there.
std::optional<double> RunningAverage(const std::vector<CurvePoint>& curve, double step) {
  double mean = 0;
  int count = 0;
  for (const CurvePoint& point : curve) {
    if (point.step > step) break;
    ++count;
    mean += (point.value - mean) / count;
  }
  if (count == 0) return std::nullopt;
  return mean;
}

double BestOf(const std::vector<CurvePoint>& curve, double step) {
  double best = std::numeric_limits<double>::infinity();
  for (const CurvePoint& point : curve) {
    if (point.step <= step) best = std::min(best, point.value);
  }
  return best;
}

double Shown(const History& history, double value) { return history.maximizes(0) ? -value : value; }

bool OldEnough(const v1::StudySpec::StoppingSpec& spec, const Entry& entry) {
  return entry.running && !entry.curve.empty() &&
         static_cast<int>(entry.curve.size()) >= spec.min_measurement_count() &&
         entry.curve.back().step >= static_cast<double>(spec.min_steps());
}

}  // namespace

std::vector<StopAdvice> MedianStops(const v1::StudySpec::StoppingSpec& spec,
                                    const History& history) {
  const int min_trials = spec.min_trials() > 0 ? spec.min_trials() : kMinTrialsDefault;
  std::vector<const Entry*> finished;
  for (const auto& [id, entry] : history.entries()) {
    if (entry.status == Entry::kSucceeded && !entry.stopped_early && !entry.curve.empty()) {
      finished.push_back(&entry);
    }
  }
  std::vector<StopAdvice> stops;
  if (static_cast<int>(finished.size()) < min_trials) return stops;
  std::map<double, std::vector<double>> averages_at;  // many trials stand at the same step
  for (const auto& [id, entry] : history.entries()) {
    if (!OldEnough(spec, entry)) continue;
    const double step = entry.curve.back().step;
    auto [it, is_new] = averages_at.try_emplace(step);
    if (is_new) {
      for (const Entry* other : finished) {
        const auto average = RunningAverage(other->curve, step);
        if (average.has_value()) it->second.push_back(*average);
      }
    }
    if (static_cast<int>(it->second.size()) < min_trials) continue;
    const double median = Median(it->second);
    const double best = BestOf(entry.curve, step);
    if (!(best > median)) continue;
    stops.push_back(
        {id, absl::StrFormat("best %.6g is %s the median %.6g of %d trials at step %.10g",
                             Shown(history, best), history.maximizes(0) ? "below" : "above",
                             Shown(history, median), it->second.size(), step)});
  }
  return stops;
}

std::vector<StopAdvice> HalvingStops(const v1::StudySpec::StoppingSpec& spec,
                                     const History& history, int brackets) {
  const double factor = spec.reduction_factor() > 1 ? spec.reduction_factor() : kFactorDefault;
  const double first = std::max<double>(1, static_cast<double>(spec.min_steps()));
  double last = static_cast<double>(spec.max_steps());
  if (last <= 0) {
    for (const auto& [id, entry] : history.entries()) {
      if (!entry.curve.empty()) last = std::max(last, entry.curve.back().step);
    }
  }
  std::map<int32_t, StopAdvice> stops;
  double rung = first;
  for (int k = 0; rung < last; ++k, rung *= factor) {
    std::vector<std::vector<double>> scores(brackets);
    for (const auto& [id, entry] : history.entries()) {
      if (id % brackets > k || entry.curve.empty() || entry.curve.back().step < rung) continue;
      scores[id % brackets].push_back(BestOf(entry.curve, rung));
    }
    for (const auto& [id, entry] : history.entries()) {
      if (!OldEnough(spec, entry) || id % brackets > k || stops.count(id) > 0) continue;
      if (entry.curve.back().step < rung) continue;
      auto& peers = scores[id % brackets];
      const auto kept = static_cast<size_t>(std::floor(static_cast<double>(peers.size()) / factor));
      if (kept == 0) continue;  // too few have come this far to judge
      std::nth_element(peers.begin(), peers.begin() + (kept - 1), peers.end());
      const double own = BestOf(entry.curve, rung);
      if (own <= peers[kept - 1]) continue;
      stops[id] = {id, absl::StrFormat("best %.6g at rung %.10g is not in the first %d of %d",
                                       Shown(history, own), rung, kept, peers.size())};
    }
  }
  std::vector<StopAdvice> out;
  for (auto& [id, stop] : stops) out.push_back(std::move(stop));
  return out;
}

StudyStop AdviseStudyStop(const v1::StudySpec::StudyStopping& spec, const History& history,
                          double elapsed_seconds) {
  if (spec.should_stop_asap()) return {true, "the study was asked to stop"};
  const int64_t ended = history.succeeded() + history.infeasible();
  const auto seconds = [](const google::protobuf::Duration& d) {
    return static_cast<double>(d.seconds()) + 1e-9 * static_cast<double>(d.nanos());
  };
  if (spec.max_trials() > 0 && ended >= spec.max_trials()) {
    return {true, absl::StrCat("all ", spec.max_trials(), " trials have ended")};
  }
  if (spec.has_maximum_runtime() && elapsed_seconds >= seconds(spec.maximum_runtime())) {
    return {true, absl::StrFormat("the study ran for its maximum of %.10g s",
                                  seconds(spec.maximum_runtime()))};
  }
  if (ended < spec.min_trials()) return {};
  if (spec.has_minimum_runtime() && elapsed_seconds < seconds(spec.minimum_runtime())) return {};
  if (spec.max_trials_no_progress() > 0 && history.metrics() == 1 && history.succeeded() > 0) {
    int64_t since = 0;
    const int32_t best = history.ranking().begin()->second;
    for (auto it = history.entries().upper_bound(best); it != history.entries().end(); ++it) {
      if (it->second.status != Entry::kPending) ++since;
    }
    if (since >= spec.max_trials_no_progress()) {
      return {true, absl::StrCat("no progress in the last ", since, " trials, since trial ", best)};
    }
  }
  return {};
}

}  // namespace trainyard::tuning
