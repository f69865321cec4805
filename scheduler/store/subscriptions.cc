// See subscriptions.h.
#include "scheduler/store/subscriptions.h"

#include <algorithm>
#include <utility>

namespace trainyard::store {

uint64_t Subscriptions::Add(uint64_t job_uid, std::function<void()> on_data) {
  auto subscription = std::make_shared<Subscription>();
  subscription->job_uid = job_uid;
  subscription->on_data = std::move(on_data);
  MutexLock lock(&mutex_);
  subscription->id = next_id_++;
  by_id_.emplace(subscription->id, subscription);
  by_job_[job_uid].push_back(subscription);
  return subscription->id;
}

void Subscriptions::Remove(uint64_t id) {
  MutexLock lock(&mutex_);
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return;
  const std::shared_ptr<Subscription> subscription = it->second;
  by_id_.erase(it);
  auto& of_job = by_job_[subscription->job_uid];
  of_job.erase(std::remove(of_job.begin(), of_job.end(), subscription), of_job.end());
  if (of_job.empty()) by_job_.erase(subscription->job_uid);
  subscription->removed = true;
  const auto others = [&subscription] {
    return std::any_of(subscription->running.begin(), subscription->running.end(),
                       [](std::thread::id thread) { return thread != std::this_thread::get_id(); });
  };
  while (others()) left_.Wait(&mutex_);
}

void Subscriptions::Notify(uint64_t job_uid) {
  std::vector<std::shared_ptr<Subscription>> wanted;
  {
    MutexLock lock(&mutex_);
    const auto it = by_job_.find(job_uid);
    if (it == by_job_.end()) return;
    wanted = it->second;
  }
  for (const auto& subscription : wanted) {
    {
      MutexLock lock(&mutex_);
      if (subscription->removed) continue;
      subscription->running.push_back(std::this_thread::get_id());
    }
    subscription->on_data();
    MutexLock lock(&mutex_);
    auto& running = subscription->running;
    running.erase(std::find(running.begin(), running.end(), std::this_thread::get_id()));
    left_.NotifyAll();
  }
}

}  // namespace trainyard::store
