// See best.h.
#include "scheduler/tuning/best.h"

#include <algorithm>

#include "scheduler/tuning/gp_model.h"
#include "scheduler/tuning/pareto.h"

namespace trainyard::tuning {
namespace {

constexpr size_t kPosteriorLeast = 4;

// Trials that ran to their end and are modelled; nothing while they are few.
std::vector<int32_t> BestByPosterior(const History& history) {
  std::vector<Observation> all;
  for (const auto& [id, entry] : history.entries()) {
    if (entry.status != Entry::kSucceeded || entry.stopped_early) continue;
    all.push_back({id, entry.objectives[0], history.space().ToFeatures(entry.point)});
  }
  return all.size() < kPosteriorLeast ? std::vector<int32_t>() : ByPosterior(all, history.space());
}

}  // namespace

std::vector<int32_t> BestOf(const v1::StudySpec& spec, const History& history, int count) {
  std::vector<int32_t> ids;
  if (history.metrics() > 1) {
    ids = ParetoFront(history, spec);
    if (count > 0 && static_cast<int>(ids.size()) > count) ids.resize(static_cast<size_t>(count));
    return ids;
  }
  const auto most = static_cast<size_t>(std::max(count, 1));
  if (spec.noise() == v1::StudySpec::NOISE_HIGH && !spec.metrics(0).has_safety_threshold()) {
    ids = BestByPosterior(history);
  }
  for (const bool early : {false, true}) {  // trials that ran to their end come first
    for (const auto& [value, id] : history.ranking()) {
      if (ids.size() >= most) break;
      const Entry& entry = *history.Find(id);
      if (entry.stopped_early != early || entry.held) continue;
      if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
    }
  }
  if (ids.size() > most) ids.resize(most);
  return ids;
}

Progress LastProgress(const v1::StudySpec& spec, const History& history) {
  Progress last;
  if (history.succeeded() == 0) return last;
  if (history.metrics() == 1) {
    for (const auto& [value, id] : history.ranking()) {
      const Entry& best = *history.Find(id);
      if (!best.held) return {best.id, best.end_seconds};
    }
    return last;
  }
  for (const int32_t id : ParetoFront(history, spec)) {
    last.trial = std::max(last.trial, id);
    last.seconds = std::max(last.seconds, history.Find(id)->end_seconds);
  }
  return last;
}

}  // namespace trainyard::tuning
