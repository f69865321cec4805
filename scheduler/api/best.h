// Which trials of a study are best, see scheduler/tuning/best.h: the same answer here, in
// trainyard-tune and to the optimiser.
#ifndef TRAINYARD_SCHEDULER_API_BEST_H_
#define TRAINYARD_SCHEDULER_API_BEST_H_

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "common/mutex.h"
#include "scheduler/core/state.h"
#include "scheduler/runtime/view.h"

namespace trainyard::api {

// Ids of succeeded trials with a final value of every metric, best first, at most `count`; 0: one,
// or with several metrics the whole Pareto front. Pure.
std::vector<int32_t> BestTrials(const v1::StudySpec& spec,
                                const std::vector<core::TrialPtr>& trials, int count);

// The same of a study in the view, remembered until a trial of it ends: readers ask again and
// again, and a study may have a hundred thousand trials. Thread-safe.
class BestBook {
 public:
  std::vector<int32_t> Best(const runtime::View& view, const journal::v1::StudyRow& study,
                            int count);

 private:
  struct Known {
    uint64_t revision = 0;  // of the study's row, which changes with each end of a trial
    std::vector<int32_t> ids;
  };
  Mutex mutex_;
  std::map<std::pair<uint64_t, int>, Known> known_ ABSL_GUARDED_BY(mutex_);  // study, count
};

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_BEST_H_
