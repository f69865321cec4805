// What a study knows: one entry a trial, in the optimiser's own terms. Objectives are turned so
// that less is better; trials that failed or measured something that is no number are infeasible.
// Everything here is a function of the set of records, never of the order they came in. There may
// be a hundred thousand: an entry takes some 300 bytes.
#ifndef TRAINYARD_SCHEDULER_TUNING_HISTORY_H_
#define TRAINYARD_SCHEDULER_TUNING_HISTORY_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "scheduler/tuning/space.h"
#include "scheduler/tuning/tuning.h"

namespace trainyard::tuning {

struct CurvePoint {
  double step;   // or elapsed seconds, as the stopping spec says
  double value;  // first metric, less is better
};

using Objectives = std::vector<double>;  // one a metric
// Succeeded trials by first objective, best first.
using Ranking = absl::btree_set<std::pair<double, int32_t>>;

struct Entry {
  enum Status { kPending, kSucceeded, kInfeasible };
  int32_t id = 0;
  Status status = kPending;
  bool running = false;  // ACTIVE: may be stopped
  bool stopped_early = false;
  bool held = false;        // counts as stopped early until it goes on
  double resumed_from = 0;  // step or seconds; 0: it was never held
  double end_seconds = 0;   // since the study began
  uint64_t key = 0;
  Point point;
  Objectives objectives;          // of a succeeded trial, all finite
  std::vector<CurvePoint> curve;  // finite values only, rising steps
};

class History {
 public:
  History(const v1::StudySpec& spec, const Space& space);

  void Observe(const TrialRecord& record);

  // Pointers to entries last until the next Observe.
  const absl::btree_map<int32_t, Entry>& entries() const { return entries_; }
  const Entry* Find(int32_t id) const;
  // Whether any trial has this point (by key).
  bool Contains(uint64_t key) const { return keys_.count(key) > 0; }
  size_t distinct_points() const { return keys_.size(); }
  const Ranking& ranking() const { return ranking_; }
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
  Objectives FinalObjectives(const TrialRecord& record) const;

  const Space& space_;
  std::vector<Metric> metrics_;
  bool select_best_;
  bool use_elapsed_;
  absl::btree_map<int32_t, Entry> entries_;
  absl::flat_hash_map<uint64_t, int32_t> keys_;
  Ranking ranking_;
  int infeasible_ = 0;
  int held_ = 0;  // of those that succeeded
};

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_HISTORY_H_
