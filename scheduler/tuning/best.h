// Which trials are best: what `best` of every program says, on a cluster and without one. Pure.
#ifndef TRAINYARD_SCHEDULER_TUNING_BEST_H_
#define TRAINYARD_SCHEDULER_TUNING_BEST_H_

#include <cstdint>
#include <vector>

#include "scheduler/tuning/history.h"
#include "scheduler/tuning/space.h"
#include "scheduler/tuning/tuning.h"

namespace trainyard::tuning {

// Ids of succeeded trials, best first, at most `count`. One metric: by its value, or with
// NOISE_HIGH by the model's mean, trials that ran to their end first; 0 is one trial. Several: the
// Pareto front, see pareto.h; 0 is all of it.
std::vector<int32_t> BestOf(const v1::StudySpec& spec, const History& history, int count);

// The trial that was best last, or came to the front last, and when it ended; trial 0: none.
struct Progress {
  int32_t trial = 0;
  double seconds = 0;
};
Progress LastProgress(const v1::StudySpec& spec, const History& history);

// The same for those who have no optimiser: gathers records, in any order.
class BestFinder {
 public:
  explicit BestFinder(const v1::StudySpec& spec)
      : spec_(spec), space_(spec_), history_(spec_, space_) {}

  void Observe(const TrialRecord& trial) { history_.Observe(trial); }
  std::vector<int32_t> Best(int count) const { return BestOf(spec_, history_, count); }

 private:
  const v1::StudySpec spec_;
  const Space space_;
  History history_;
};

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_BEST_H_
