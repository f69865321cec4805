// Leases of agents, by the monotonic clock. A lease is renewed by any word of the agent's session
// and ends once, for good: after Expire() named a node, Renew() answers false until the agent
// connects anew, so an agent never works on under a lease that the scheduler gave up. Thread-safe.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_LEASES_H_
#define TRAINYARD_SCHEDULER_RUNTIME_LEASES_H_

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/mutex.h"

namespace trainyard::runtime {

class Leases {
 public:
  // Starts or restarts a lease in full.
  void Start(const std::string& node_id, absl::Duration now, absl::Duration lease);
  // False when the node holds no lease: its session must end.
  bool Renew(const std::string& node_id, absl::Duration now, absl::Duration lease);
  // For how long nothing was heard of the node; infinite when it holds no lease.
  absl::Duration Silence(const std::string& node_id, absl::Duration now,
                         absl::Duration lease) const;
  // Every lease that is held begins anew in full.
  void RestartAll(absl::Duration now, absl::Duration lease);
  // Nodes whose lease is over; they hold none any more.
  std::vector<std::string> Expire(absl::Duration now);
  // When the next lease ends if nobody renews; InfiniteDuration when there is none. O(nodes).
  absl::Duration Next() const;

 private:
  mutable Mutex mutex_;
  std::map<std::string, absl::Duration> ends_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_LEASES_H_
