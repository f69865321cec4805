// Gangs whose own network lost a node, until the scheduler knows better. A node that mpirun could
// not reach any more and that has sent no heartbeat for two of its periods is lost twice over: the
// gang's verdict need not wait until its lease is over, and nothing new is placed there until it is
// heard again. A node that is heard is left to tell its end itself. Owner thread.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_LOST_GANGS_H_
#define TRAINYARD_SCHEDULER_RUNTIME_LOST_GANGS_H_

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "scheduler/core/core.h"
#include "scheduler/runtime/leases.h"
#include "scheduler/runtime/runtime.h"

namespace trainyard::runtime {

class LostGangs {
 public:
  // How often to look while there are any.
  static constexpr absl::Duration kLookGap = absl::Milliseconds(100);

  explicit LostGangs(const Options* options) : options_(options) {}

  // After `runs` changed.
  void Update(const core::State& state, const std::set<uint64_t>& runs);
  // Gangs all of whose members left are on silent nodes. O(members of gangs that wait).
  std::vector<core::GangSilence> Due(const core::State& state, const Leases& leases,
                                     absl::Duration now) const;
  bool waits() const { return !waiting_.empty(); }

  // Of no use for placing until it is heard again.
  void Shun(const std::string& node_id) { shunned_.insert(node_id); }
  // Nodes that are heard again, or whose lease is over; they are shunned no more.
  std::vector<std::string> Heard(const Leases& leases, absl::Duration now);

 private:
  bool IsSilent(const std::string& node_id, const Leases& leases, absl::Duration now) const;

  const Options* const options_;
  std::set<uint64_t> waiting_;  // run uids
  std::set<std::string> shunned_;
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_LOST_GANGS_H_
