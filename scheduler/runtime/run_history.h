// What this cluster's own runs have taught about run times and start estimates: fed with the runs
// that end and the waits that were foretold, read by plans (placement/history.h). Runs that are in
// memory after a restart are counted anew. Owner thread; what Shared() gives is read by any.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_RUN_HISTORY_H_
#define TRAINYARD_SCHEDULER_RUNTIME_RUN_HISTORY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "scheduler/core/state.h"
#include "scheduler/placement/history.h"
#include "scheduler/placement/placement.h"

namespace trainyard::runtime {

// What jobs that do the same again and again are called: the display name, or the id, without the
// number at its end.
std::string HistoryName(const journal::v1::JobRow& job, const trainyard::v1::JobSpec& spec);

class RunHistory {
 public:
  // Runs that ended or started since the last call.
  void Update(const core::State& state, const core::Touched& touched);
  // What a waiting run was told; the first word about it counts. False: no more are taken.
  bool Foretold(const placement::Explanation& explanation, int64_t now_us);
  // Runs that still wait after the band they were told are known to be missed before they start:
  // each is counted once, then.
  void CountOverdue(const core::State& state, int64_t now_us);
  // As of the last few seconds; null while nothing was learned.
  std::shared_ptr<const placement::RunTimeHistory> Shared(absl::Duration monotonic);

 private:
  struct Foresight {
    int64_t said_us = 0;
    int64_t wait_us = 0;
    placement::RunTimeHistory::Band band;
    bool overdue = false;  // counted already
  };
  using Due = std::pair<int64_t, uint64_t>;  // the end of its band, run uid

  void Ended(const core::State& state, const journal::v1::RunRow& run);

  placement::RunTimeHistory history_;
  std::shared_ptr<const placement::RunTimeHistory> shared_;
  bool changed_ = false;
  absl::Duration shared_at_;
  absl::flat_hash_set<uint64_t> ended_;  // runs in memory that were counted
  absl::flat_hash_map<uint64_t, Foresight> foretold_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;  // also of runs that are gone
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_RUN_HISTORY_H_
