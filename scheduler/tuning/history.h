// What a study knows: one entry a trial, in the optimiser's own terms. Objectives are turned so
// that less is better; trials that failed or measured something that is no number are infeasible.
// Everything here is a function of the set of records, never of the order they came in. There may
// be a hundred thousand: an entry of ten parameters takes some 250 bytes.
#ifndef TRAINYARD_SCHEDULER_TUNING_HISTORY_H_
#define TRAINYARD_SCHEDULER_TUNING_HISTORY_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "scheduler/tuning/space.h"
#include "scheduler/tuning/tuning.h"

namespace trainyard::tuning {

struct CurvePoint {
  double step;   // or elapsed seconds, as the stopping spec says
  double value;  // first metric, less is better
};

using Objectives = absl::InlinedVector<double, 2>;  // one a metric; rarely more than two
// Succeeded trials by first objective, best first.
using Ranking = absl::btree_set<std::pair<double, int32_t>>;

struct Entry {
  enum Status : uint8_t { kPending, kSucceeded, kInfeasible };
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

// Entries by rising id, without the third of itself that a B-tree leaves empty when keys only rise.
// Ids may come in any order; one below many others costs their move.
class Entries {
 public:
  using Row = std::pair<int32_t, Entry>;
  using const_iterator = std::deque<Row>::const_iterator;

  const_iterator begin() const { return rows_.begin(); }
  const_iterator end() const { return rows_.end(); }
  auto rbegin() const { return rows_.rbegin(); }
  auto rend() const { return rows_.rend(); }
  size_t size() const { return rows_.size(); }
  bool empty() const { return rows_.empty(); }
  // The first entry whose id is not below `id`, or above it.
  const_iterator lower_bound(int32_t id) const {
    return std::lower_bound(begin(), end(), id,
                            [](const Row& row, int32_t wanted) { return row.first < wanted; });
  }
  const_iterator upper_bound(int32_t id) const {
    return std::upper_bound(begin(), end(), id,
                            [](int32_t wanted, const Row& row) { return wanted < row.first; });
  }
  const_iterator find(int32_t id) const {
    const auto it = lower_bound(id);
    return it != end() && it->first == id ? it : end();
  }
  // Adds the entry, or puts it in the place of the one with its id.
  void Put(Entry entry) {
    const auto at = rows_.begin() + (lower_bound(entry.id) - begin());
    if (at != rows_.end() && at->first == entry.id) {
      at->second = std::move(entry);
    } else {
      const int32_t id = entry.id;
      rows_.emplace(at, id, std::move(entry));
    }
  }

 private:
  std::deque<Row> rows_;
};

class History {
 public:
  History(const v1::StudySpec& spec, const Space& space);

  void Observe(const TrialRecord& record);

  // Pointers to entries last until the next Observe.
  const Entries& entries() const { return entries_; }
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
  // Takes what is known of the trial out of the sums; its entry stays, to be put anew.
  void Discount(int32_t id);
  // The metric's value turned to "less is better"; nothing when absent or no finite number.
  std::optional<double> ValueIn(const v1::Measurement& measurement, const Metric& metric) const;
  // Left empty when one of them is missing or no finite number.
  void ReadObjectives(const TrialRecord& record, Objectives* objectives) const;

  const Space& space_;
  std::vector<Metric> metrics_;
  bool select_best_;
  bool use_elapsed_;
  Entries entries_;
  absl::flat_hash_map<uint64_t, int32_t> keys_;
  Ranking ranking_;
  int infeasible_ = 0;
  int held_ = 0;  // of those that succeeded
};

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_HISTORY_H_
