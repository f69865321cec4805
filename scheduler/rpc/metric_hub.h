// Metric points of running trials on their way to the core: those that the study names become
// measurements, the first at once, later ones gathered to at most five reports a second per trial.
// Before an exit is told, Flush() sends what is held back, so that a final measurement misses
// nothing. Whoever brings points is told when they are durable: until then the agent keeps them.
// One thread; thread-safe.
#ifndef TRAINYARD_SCHEDULER_RPC_METRIC_HUB_H_
#define TRAINYARD_SCHEDULER_RPC_METRIC_HUB_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "common/mutex.h"
#include "scheduler/runtime/runtime.h"
#include "trainyard/agent/v1/agent.pb.h"

namespace trainyard::rpc {

class MetricHub {
 public:
  MetricHub(runtime::Runtime* runtime, const Clock* clock);
  ~MetricHub();

  // Called at most once, on any thread without a lock: the points are durable. Not called when the
  // scheduler stops first.
  using Durable = std::function<void()>;
  // `run` is the row of the run the batch is of. Points that were seen (by offset) are skipped.
  // False when nothing of it is on its way: `durable` is dropped.
  bool Add(const journal::v1::RunRow& run, const agent::v1::MetricBatch& batch, Durable durable);
  // Sends what is held back for the run now.
  void Flush(uint64_t run_uid);

 private:
  // Sent to the core, and who waits until it is durable.
  struct Report {
    Mutex mutex;
    bool answered ABSL_GUARDED_BY(mutex) = false;
    std::vector<Durable> waiting ABSL_GUARDED_BY(mutex);
  };
  struct Value {
    int32_t rank = 0;
    double value = 0;
  };
  struct Feed {
    uint64_t epoch = 0;
    int64_t seen = 0;  // points of this epoch, by offset
    int64_t running_us = 0;
    std::set<std::string> metrics;  // that the study names
    std::map<int64_t, std::map<std::string, Value>> steps;
    std::map<int64_t, int64_t> times_us;  // by step
    std::vector<Durable> waiting;         // for what is in `steps`
    std::shared_ptr<Report> last;         // sent; perhaps answered
    absl::Duration last_sent = -absl::InfiniteDuration();
    absl::Duration last_used;
  };

  void Run();
  void Begin(const journal::v1::RunRow& run, uint64_t epoch, Feed* feed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What is held of the run goes to the core; it stays held when the core takes nothing now.
  void Send(uint64_t run_uid, Feed* feed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  runtime::Runtime* const runtime_;
  const Clock* const clock_;
  Mutex mutex_;
  CondVar wake_;
  std::map<uint64_t, Feed> feeds_ ABSL_GUARDED_BY(mutex_);
  std::set<uint64_t> held_ ABSL_GUARDED_BY(mutex_);  // runs with steps not sent
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace trainyard::rpc

#endif  // TRAINYARD_SCHEDULER_RPC_METRIC_HUB_H_
