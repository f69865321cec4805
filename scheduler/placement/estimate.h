// The estimate stage: when waiting runs may start. Devices are counted, not placed: runs that hold
// some are expected to end as their history says, or to give them up as soon as a run of the level
// may take them; those that wait get them in the order of the queue. The band around it is learned
// from how far earlier estimates were off (history.h). Pure.
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_ESTIMATE_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_ESTIMATE_H_

#include <cstdint>
#include <vector>

#include "scheduler/placement/planner.h"

namespace trainyard::placement {

struct StartGuess {
  // It rests on run times that were learned, or on devices that will be given up, not on a guess
  // out of nothing. The times are there in any case.
  bool known = false;
  int64_t middle_us = 0;
  int64_t earliest_us = 0;
  int64_t latest_us = 0;
};

class StartEstimator {
 public:
  // `history` may be null.
  StartEstimator(const Planner& planner, const RunTimeHistory* history)
      : planner_(planner), history_(history) {}

  // One estimate for each run of `order`: waiting runs in the order of the queue, by slot.
  // O((waiting
  // + levels x running) log running).
  std::vector<StartGuess> Of(const std::vector<int32_t>& order);
  // The waiting runs in the order of the queue, at most up to `last_uid` (0: all).
  std::vector<int32_t> Order(uint64_t last_uid) const;
  // Of one waiting run.
  StartGuess OfRun(uint64_t run_uid);

 private:
  struct Free {
    int64_t at_us;
    int64_t milli;
    bool known;
    bool operator>(const Free& other) const { return at_us > other.at_us; }
  };
  struct Taken {
    int64_t end_us;
    int64_t milli;
    bool known;
  };
  struct Rest {
    int64_t us;
    bool known;
  };
  Rest RestOf(const Planner::Run& of) const;
  void Rebuild(bool front, int level);

  const Planner& planner_;
  const RunTimeHistory* const history_;
  std::vector<Free> heap_;
  std::vector<Taken> taken_;
  int64_t free_milli_ = 0;
};

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_ESTIMATE_H_
