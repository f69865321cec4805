// See best.h.
#include "scheduler/api/best.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace trainyard::api {
namespace {

struct Scored {
  int32_t id = 0;
  std::vector<double> values;  // larger is better
};

bool Score(const v1::StudySpec& spec, const journal::v1::TrialRow& trial, Scored* scored) {
  if (trial.state() != v1::TRIAL_SUCCEEDED || !trial.has_final_measurement()) return false;
  scored->id = trial.id();
  scored->values.clear();
  for (const v1::StudySpec::Metric& metric : spec.metrics()) {
    bool found = false;
    for (const v1::MetricValue& value : trial.final_measurement().metrics()) {
      if (value.metric_id() != metric.metric_id() || !std::isfinite(value.value())) continue;
      const double sign = metric.goal() == v1::StudySpec::MINIMIZE ? -1.0 : 1.0;
      scored->values.push_back(sign * value.value());
      found = true;
      break;
    }
    if (!found) return false;
  }
  return !scored->values.empty();
}

bool Dominates(const Scored& a, const Scored& b) {
  bool better = false;
  for (size_t i = 0; i < a.values.size(); ++i) {
    if (a.values[i] < b.values[i]) return false;
    better = better || a.values[i] > b.values[i];
  }
  return better;
}

// Takes the front out of `left`, in order of the first metric.
std::vector<Scored> TakeFront(std::vector<Scored>* left) {
  std::vector<Scored> front;
  std::vector<Scored> rest;
  for (const Scored& candidate : *left) {
    const bool beaten = std::any_of(left->begin(), left->end(), [&](const Scored& other) {
      return Dominates(other, candidate);
    });
    (beaten ? rest : front).push_back(candidate);
  }
  *left = std::move(rest);
  return front;
}

}  // namespace

std::vector<int32_t> BestTrials(const v1::StudySpec& spec,
                                const std::vector<core::TrialPtr>& trials, int count) {
  std::vector<Scored> scored;
  for (const core::TrialPtr& trial : trials) {
    Scored one;
    if (Score(spec, *trial, &one)) scored.push_back(std::move(one));
  }
  std::stable_sort(scored.begin(), scored.end(), [](const Scored& a, const Scored& b) {
    return a.values.front() > b.values.front();
  });
  std::vector<int32_t> ids;
  const size_t most = static_cast<size_t>(std::max(0, count));
  while (!scored.empty() && ids.size() < most) {
    const bool one_metric = scored.front().values.size() == 1;
    const std::vector<Scored> front = one_metric ? std::exchange(scored, {}) : TakeFront(&scored);
    for (const Scored& best : front) {
      if (ids.size() < most) ids.push_back(best.id);
    }
  }
  return ids;
}

}  // namespace trainyard::api
