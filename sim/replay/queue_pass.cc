// The passes that never take GPUs away: fifo, skip, sjf, easy. See replay.h.
#include <algorithm>
#include <set>
#include <tuple>
#include <vector>

#include "sim/replay/passes.h"

namespace trainyard::replay {
namespace {

constexpr int kBackfillDepth = 500;

// Waiting jobs by (key, submit, row).
class QueuePass : public Pass {
 public:
  explicit QueuePass(bool by_size) : by_size_(by_size) {}
  void Arrive(LiveJob* job) override {
    const int64_t key = by_size_ ? job->duration * job->gpus : 0;
    waiting_.insert({key, job->submit, job->row, job});
  }
  void Finish(LiveJob*) override {}

 protected:
  using Entry = std::tuple<int64_t, int64_t, int32_t, LiveJob*>;
  static LiveJob* JobOf(const Entry& entry) { return std::get<3>(entry); }
  std::set<Entry> waiting_;

 private:
  const bool by_size_;
};

class FifoPass : public QueuePass {
 public:
  FifoPass() : QueuePass(false) {}
  void Schedule(Engine* engine) override {
    Share share;
    while (!waiting_.empty() && engine->pool().Fit(JobOf(*waiting_.begin())->gpus, &share)) {
      engine->Start(JobOf(*waiting_.begin()), share);
      waiting_.erase(waiting_.begin());
    }
  }
};

class SkipPass : public QueuePass {
 public:
  explicit SkipPass(bool by_size) : QueuePass(by_size) {}
  void Schedule(Engine* engine) override {
    Share share;
    for (auto it = waiting_.begin(); it != waiting_.end() && engine->pool().total_free() > 0;) {
      if (engine->pool().Fit(JobOf(*it)->gpus, &share)) {
        engine->Start(JobOf(*it), share);
        it = waiting_.erase(it);
      } else {
        ++it;
      }
    }
  }
};

class EasyPass : public QueuePass {
 public:
  EasyPass() : QueuePass(false) {}
  void Finish(LiveJob* job) override { running_.erase({job->planned_end, job->row, job}); }
  void Schedule(Engine* engine) override {
    Share share;
    while (!waiting_.empty() && engine->pool().Fit(JobOf(*waiting_.begin())->gpus, &share)) {
      Begin(engine, waiting_.begin(), share);
    }
    if (waiting_.empty()) return;
    const LiveJob& head = *JobOf(*waiting_.begin());
    int64_t shadow = 0;
    Pool at_shadow = PoolAtShadow(*engine, head, &shadow);
    int looked_at = 0;
    for (auto it = std::next(waiting_.begin());
         it != waiting_.end() && looked_at < kBackfillDepth && engine->pool().total_free() > 0;
         ++looked_at) {
      LiveJob* const job = JobOf(*it);
      bool start = engine->pool().Fit(job->gpus, &share);
      if (start && engine->now() + job->duration > shadow) {
        at_shadow.Take(share);
        start = at_shadow.Fits(head.gpus);
        if (!start) at_shadow.Give(share);
      }
      it = start ? Begin(engine, it, share) : std::next(it);
    }
  }

 private:
  std::set<Entry>::iterator Begin(Engine* engine, std::set<Entry>::iterator it,
                                  const Share& share) {
    LiveJob* const job = JobOf(*it);
    engine->Start(job, share);
    running_.insert({job->planned_end, job->row, job});
    return waiting_.erase(it);
  }
  // The pool when the head can start, all jobs that end by then gone.
  Pool PoolAtShadow(Engine& engine, const LiveJob& head, int64_t* shadow) const {
    Pool pool = engine.pool();
    for (auto it = running_.begin(); it != running_.end();) {
      *shadow = std::get<0>(*it);
      for (; it != running_.end() && std::get<0>(*it) == *shadow; ++it) {
        pool.Give(std::get<2>(*it)->share);
      }
      if (pool.Fits(head.gpus)) break;
    }
    return pool;
  }
  std::set<std::tuple<int64_t, int32_t, LiveJob*>> running_;
};

}  // namespace

std::unique_ptr<Pass> MakeFifoPass() { return std::make_unique<FifoPass>(); }
std::unique_ptr<Pass> MakeSkipPass(bool by_size) { return std::make_unique<SkipPass>(by_size); }
std::unique_ptr<Pass> MakeEasyPass() { return std::make_unique<EasyPass>(); }

}  // namespace trainyard::replay
