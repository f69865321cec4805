// The estimate stage: when waiting runs may start. Devices are counted, not placed: runs that hold
// some are expected to end as their history says, or to give them up as soon as a run of the level
// may take them; those that wait get them in the order of the queue. Each model of device is
// counted by itself, and so are cores, for runs that need no device: what ends on one does not
// start who needs another. The band around it is learned from how far earlier estimates were off
// (history.h). Pure.
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_ESTIMATE_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_ESTIMATE_H_

#include <cstdint>
#include <map>
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
  // O((waiting + levels x running) log running).
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
  // Devices of one model, or cores (in thousandths of what counts as a device).
  struct Pool {
    int32_t model = 0;
    int64_t total_milli = 0;
    int64_t free_milli = 0;
    int64_t time_us = 0;     // when it is as free as that
    bool leaves = false;     // something had to leave for it
    bool sure = true;        // and it was known when
    std::vector<Free> heap;  // what becomes free later
  };
  struct Taken {
    int32_t pool;
    int64_t end_us;
    int64_t milli;
    bool known;
  };
  struct Room {
    int64_t at_us;
    bool known;
  };
  struct Rest {
    int64_t us;
    bool known;
  };
  Rest RestOf(const Planner::Run& of) const;
  void MakePools();
  const std::vector<int32_t>& PoolsOf(int32_t shape);
  void Hold(const Planner::Run& of, int64_t until_us, bool known);
  void Rebuild(bool front, int level);
  int64_t FreeIn(const std::vector<int32_t>& pools) const;
  bool Advance(const std::vector<int32_t>& pools);
  Room MakeRoom(const std::vector<int32_t>& pools, int64_t milli);
  void Take(const std::vector<int32_t>& pools, int64_t milli, int64_t end_us, bool known);

  const Planner& planner_;
  const RunTimeHistory* const history_;
  std::vector<Pool> pools_;
  bool cores_apart_ = false;  // the last pool is of cores
  std::vector<Taken> taken_;
  std::map<int32_t, std::vector<int32_t>> pools_of_;  // by shape
};

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_ESTIMATE_H_
