// See work_pool.h.
#include "worker/agent/work_pool.h"

#include <utility>

namespace trainyard::worker {
namespace {
constexpr size_t kWaitingMax = 100000;
}  // namespace

WorkPool::WorkPool(int threads) {
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
    if (stopping_ || jobs_.size() >= kWaitingMax) return false;
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
