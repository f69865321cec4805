// See work_pool.h.
#include "worker/agent/work_pool.h"

#include <utility>

namespace trainyard::worker {

WorkPool::WorkPool(int threads, size_t waiting_max) : waiting_max_(waiting_max) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

WorkPool::~WorkPool() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    jobs_.clear();
  }
  ready_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
}

bool WorkPool::Post(std::function<void()> job) {
  {
    MutexLock lock(&mutex_);
    if (stopping_ || jobs_.size() >= waiting_max_) return false;
    jobs_.push_back(std::move(job));
  }
  ready_.NotifyOne();
  return true;
}

void WorkPool::Work() {
  for (;;) {
    std::function<void()> job;
    {
      MutexLock lock(&mutex_);
      while (jobs_.empty() && !stopping_) ready_.Wait(&mutex_);
      if (stopping_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
}

}  // namespace trainyard::worker
