// What this cluster's own runs have taught about run times and start estimates: fed with the runs
// that end and the waits that were foretold, read by plans (placement/history.h). Runs that are in
// memory after a restart are counted anew. Owner thread; what Shared() gives is read by any.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_RUN_HISTORY_H_
#define TRAINYARD_SCHEDULER_RUNTIME_RUN_HISTORY_H_

#include <cstdint>
#include <memory>
#include <string>

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
  // What a waiting run was told; the first word about it counts.
  void Foretold(const placement::Explanation& explanation, int64_t now_us);
  // As of the last few seconds; null while no run has ended.
  std::shared_ptr<const placement::RunTimeHistory> Shared(absl::Duration monotonic);

 private:
  struct Foresight {
    int64_t said_us = 0;
    int64_t wait_us = 0;
    placement::RunTimeHistory::Band band;
  };

  void Ended(const core::State& state, const journal::v1::RunRow& run);

  placement::RunTimeHistory history_;
  std::shared_ptr<const placement::RunTimeHistory> shared_;
  bool changed_ = false;
  absl::Duration shared_at_;
  absl::flat_hash_set<uint64_t> ended_;  // runs in memory that were counted
  absl::flat_hash_map<uint64_t, Foresight> foretold_;
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_RUN_HISTORY_H_
