// What a study knows: one entry a trial, in the optimiser's own terms. Objectives are turned so
// that less is better; trials that failed or measured something that is no number are infeasible.
// Everything here is a function of the set of records, never of the order they came in.
#ifndef TRAINYARD_SCHEDULER_TUNING_HISTORY_H_
#define TRAINYARD_SCHEDULER_TUNING_HISTORY_H_

#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "scheduler/tuning/space.h"
#include "scheduler/tuning/tuning.h"

namespace trainyard::tuning {

struct CurvePoint {
  double step;   // or elapsed seconds, as the stopping spec says
  double value;  // first metric, less is better
};

struct Entry {
  enum Status { kPending, kSucceeded, kInfeasible };
  int32_t id = 0;
  Status status = kPending;
  bool running = false;  // ACTIVE: may be stopped
  bool stopped_early = false;
  bool held = false;        // counts as stopped early until it goes on
  double resumed_from = 0;  // step or seconds; 0: it was never held
  uint64_t key = 0;
  Point point;
  std::vector<double> objectives;  // of a succeeded trial, one a metric, all finite
  std::vector<CurvePoint> curve;   // finite values only, rising steps
};

class History {
 public:
  History(const v1::StudySpec& spec, const Space& space);

  void Observe(const TrialRecord& record);

  const std::map<int32_t, Entry>& entries() const { return entries_; }
  const Entry* Find(int32_t id) const;
  // Whether any trial has this point (by key).
  bool Contains(uint64_t key) const { return keys_.count(key) > 0; }
  size_t distinct_points() const { return keys_.size(); }
  // Succeeded trials by first objective, best first.
  const std::set<std::pair<double, int32_t>>& ranking() const { return ranking_; }
  int succeeded() const { return static_cast<int>(ranking_.size()); }
  int infeasible() const { return infeasible_; }
  bool any_held() const { return held_ > 0; }
  // Trials that have ended for good.
  int ended() const { return succeeded() + infeasible_ - held_; }
  int pending() const { return static_cast<int>(entries_.size()) - succeeded() - infeasible_; }
  int metrics() const { return static_cast<int>(metrics_.size()); }
  bool maximizes(int metric) const { return metrics_[metric].maximize; }
  const Space& space() const { return space_; }

 private:
  struct Metric {
    std::string id;
    bool maximize;
  };
  void Forget(int32_t id);
  // The metric's value turned to "less is better"; nothing when absent or no finite number.
  std::optional<double> ValueIn(const v1::Measurement& measurement, const Metric& metric) const;
  std::vector<double> FinalObjectives(const TrialRecord& record) const;

  const Space& space_;
  std::vector<Metric> metrics_;
  bool select_best_;
  bool use_elapsed_;
  std::map<int32_t, Entry> entries_;
  std::unordered_map<uint64_t, int> keys_;
  std::set<std::pair<double, int32_t>> ranking_;
  int infeasible_ = 0;
  int held_ = 0;  // of those that succeeded
};

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_HISTORY_H_
