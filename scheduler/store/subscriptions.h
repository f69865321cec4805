// Who wants to hear of which job. Callbacks run on the notifying thread with no lock held; after
// Remove() has returned none runs any more, but the one Remove() may be called from. Thread-safe.
#ifndef TRAINYARD_SCHEDULER_STORE_SUBSCRIPTIONS_H_
#define TRAINYARD_SCHEDULER_STORE_SUBSCRIPTIONS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/mutex.h"

namespace trainyard::store {

class Subscriptions {
 public:
  uint64_t Add(uint64_t job_uid, std::function<void()> on_data);
  void Remove(uint64_t subscription);
  void Notify(uint64_t job_uid);

 private:
  struct Subscription {
    uint64_t id = 0;
    uint64_t job_uid = 0;
    std::function<void()> on_data;
    bool removed = false;                  // under mutex_
    std::vector<std::thread::id> running;  // under mutex_: threads inside on_data
  };
  Mutex mutex_;
  CondVar left_;
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  absl::flat_hash_map<uint64_t, std::shared_ptr<Subscription>> by_id_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, std::vector<std::shared_ptr<Subscription>>> by_job_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::store

#endif  // TRAINYARD_SCHEDULER_STORE_SUBSCRIPTIONS_H_
