// See pareto.h.
#include "scheduler/tuning/pareto.h"

#include <algorithm>

namespace trainyard::tuning {
namespace {

bool Dominates(const Objectives& a, const Objectives& b) {
  bool better = false;
  for (size_t m = 0; m < a.size(); ++m) {
    if (a[m] > b[m]) return false;
    better = better || a[m] < b[m];
  }
  return better;
}

// Objectives of metrics that are goals; with limits on every metric all are goals.
Objectives Goals(const Entry& entry, const v1::StudySpec& spec) {
  Objectives goals;
  for (int m = 0; m < spec.metrics_size(); ++m) {
    if (!spec.metrics(m).has_safety_threshold()) goals.push_back(entry.objectives[m]);
  }
  return goals.empty() ? entry.objectives : goals;
}

}  // namespace

bool IsSafe(const Entry& entry, const History& history, const v1::StudySpec& spec) {
  for (int m = 0; m < spec.metrics_size(); ++m) {
    if (!spec.metrics(m).has_safety_threshold()) continue;
    const double limit = spec.metrics(m).safety_threshold();
    if (entry.objectives[m] > (history.maximizes(m) ? -limit : limit)) return false;
  }
  return true;
}

std::vector<int32_t> ParetoFront(const History& history, const v1::StudySpec& spec) {
  struct Candidate {
    int32_t id;
    Objectives goals;
  };
  std::vector<Candidate> front;
  for (const bool only_safe : {true, false}) {
    for (const auto& [value, id] : history.ranking()) {
      const Entry& entry = *history.Find(id);
      if (only_safe && !IsSafe(entry, history, spec)) continue;
      Candidate candidate{id, Goals(entry, spec)};
      const auto beats = [&](const Candidate& c) { return Dominates(c.goals, candidate.goals); };
      if (std::any_of(front.begin(), front.end(), beats)) continue;
      std::erase_if(front, [&](const Candidate& c) { return Dominates(candidate.goals, c.goals); });
      front.push_back(std::move(candidate));
    }
    if (!front.empty()) break;
  }
  std::stable_sort(front.begin(), front.end(),
                   [](const Candidate& a, const Candidate& b) { return a.goals < b.goals; });
  std::vector<int32_t> ids;
  for (const Candidate& candidate : front) ids.push_back(candidate.id);
  return ids;
}

}  // namespace trainyard::tuning
