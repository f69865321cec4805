// The jobs whose files are in use: at most `jobs_max` stay in memory, the one unused longest goes
// first; what is in use elsewhere stays. Thread-safe.
#ifndef TRAINYARD_SCHEDULER_STORE_JOB_TABLE_H_
#define TRAINYARD_SCHEDULER_STORE_JOB_TABLE_H_

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/mutex.h"

namespace trainyard::store {

// <folder>/<last two hex digits>/<16 hex digits of the uid>
inline std::string JobFolder(const std::string& folder, uint64_t job_uid) {
  const std::string hex = absl::StrCat(absl::Hex(job_uid, absl::kZeroPad16));
  return absl::StrCat(folder, "/", hex.substr(14), "/", hex);
}

template <class Job>
class JobTable {
 public:
  explicit JobTable(size_t jobs_max) : jobs_max_(jobs_max) {}

  // The job's entry, made by `make()` when there is none. Holding the pointer keeps the entry the
  // only one of its job.
  template <class Make>
  std::shared_ptr<Job> Get(uint64_t job_uid, const Make& make) {
    MutexLock lock(&mutex_);
    auto it = jobs_.find(job_uid);
    if (it != jobs_.end()) {
      order_.splice(order_.begin(), order_, it->second);
      return it->second->second;
    }
    order_.emplace_front(job_uid, make());
    jobs_.emplace(job_uid, order_.begin());
    std::shared_ptr<Job> job = order_.front().second;
    Shrink();
    return job;
  }

 private:
  void Shrink() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (auto it = order_.end(); jobs_.size() > jobs_max_ && it != order_.begin();) {
      --it;
      // Pointers are handed out under this mutex only: a count of one cannot rise meanwhile.
      if (it->second.use_count() > 1) continue;
      jobs_.erase(it->first);
      it = order_.erase(it);
    }
  }

  using Entry = std::pair<uint64_t, std::shared_ptr<Job>>;
  const size_t jobs_max_;
  Mutex mutex_;
  std::list<Entry> order_ ABSL_GUARDED_BY(mutex_);  // used last first
  absl::flat_hash_map<uint64_t, typename std::list<Entry>::iterator> jobs_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::store

#endif  // TRAINYARD_SCHEDULER_STORE_JOB_TABLE_H_
