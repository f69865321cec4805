// The virtual clock and the lives of jobs; policies are passes over it. Internal to the replay.
#ifndef TRAINYARD_SIM_REPLAY_ENGINE_H_
#define TRAINYARD_SIM_REPLAY_ENGINE_H_

#include <cstdint>
#include <functional>
#include <queue>
#include <tuple>
#include <vector>

#include "sim/replay/pool.h"
#include "sim/replay/replay.h"
#include "sim/replay/trace.h"

namespace trainyard::replay {

struct LiveJob {
  int32_t row = 0;
  int32_t gpus = 0;
  int64_t submit = 0;
  int64_t duration = 0;
  int64_t remaining = 0;     // of work, as of the last start
  int64_t attained = 0;      // GPU-seconds held before the current start
  int64_t started = -1;      // of the current start; -1: waiting
  int64_t cost = 0;          // of the current start
  int64_t planned_end = -1;  // of the current start
  bool ran_before = false;
  bool done = false;
  uint32_t version = 0;  // of its finish and demotion events
  Share share;           // held now

  bool running() const { return started >= 0; }
  int64_t RemainingAt(int64_t now) const {
    if (!running()) return remaining;
    const int64_t progress = now - started - cost;
    return progress > 0 ? remaining - progress : remaining;
  }
  int64_t AttainedAt(int64_t now) const {
    return running() ? attained + (now - started) * gpus : attained;
  }
};

Summary Summarise(const std::vector<TraceJob>& trace, const std::vector<JobResult>& results,
                  const Options& options, int64_t passes);

class Engine;

// One policy: told of arrivals, demotions and ends, asked to schedule.
class Pass {
 public:
  virtual ~Pass() = default;
  virtual void Arrive(LiveJob* job) = 0;
  virtual void Finish(LiveJob* job) = 0;
  virtual void Demote(LiveJob*) {}
  // GPU-seconds attained at which the job is demoted next; < 0: never.
  virtual double NextThreshold(const LiveJob&) const { return -1; }
  // Starts, stops and moves jobs through the engine.
  virtual void Schedule(Engine* engine) = 0;
};

class Engine {
 public:
  Engine(const std::vector<TraceJob>& trace, const Options& options);
  Outcome Run(Pass* pass);

  int64_t now() const { return now_; }
  Pool& pool() { return pool_; }
  int64_t gpus_total() const { return gpus_total_; }
  // `job` holds `share` from now on; the pool must have it.
  void Start(LiveJob* job, Share share);
  // Takes the GPUs away; progress since the start counts, a restart cost that was not spent whole
  // is spent again.
  void Stop(LiveJob* job);
  void CountPreemption(const LiveJob& job) { ++results_[static_cast<size_t>(job.row)].preemptions; }
  // Asks NextThreshold again.
  void PlanDemotion(LiveJob* job);

 private:
  struct Event {
    int64_t time;
    int32_t row;
    uint32_t version;
    bool operator>(const Event& other) const {
      return std::tie(time, row) > std::tie(other.time, other.row);
    }
  };
  using Heap = std::priority_queue<Event, std::vector<Event>, std::greater<>>;
  bool PopDue(Heap* heap, LiveJob** job);
  int64_t NextTime();

  const std::vector<TraceJob>& trace_;
  const Options options_;
  const int64_t gpus_total_;
  Pool pool_;
  std::vector<LiveJob> jobs_;
  std::vector<JobResult> results_;
  Pass* pass_ = nullptr;
  Heap finishes_;
  Heap demotions_;
  size_t next_arrival_ = 0;
  int64_t now_ = 0;
  int64_t passes_ = 0;
};

}  // namespace trainyard::replay

#endif  // TRAINYARD_SIM_REPLAY_ENGINE_H_
