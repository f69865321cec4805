// A few threads for one kind of work that blocks: downloads, uploads, removal of folders. Jobs run
// in the order of posting; how many may wait is bounded. Post() from any thread.
#ifndef TRAINYARD_WORKER_AGENT_WORK_POOL_H_
#define TRAINYARD_WORKER_AGENT_WORK_POOL_H_

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "common/mutex.h"

namespace trainyard::worker {

class WorkPool {
 public:
  WorkPool(int threads, size_t waiting_max);
  // Finishes the jobs that run; those that wait are dropped.
  ~WorkPool();
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;
  // False when too many wait.
  bool Post(std::function<void()> job);

 private:
  void Work();

  const size_t waiting_max_;
  Mutex mutex_;
  CondVar ready_;
  std::deque<std::function<void()>> jobs_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_WORK_POOL_H_
