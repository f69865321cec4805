// Desired state per connected agent: the whole on connecting, then deltas of what changed, with
// versions that rise by one, and acknowledgements of facts. Owner thread.
//  - What is told is what the state demands once its events are durable; the caller sends it then.
//  - An assignment travels once per session, and once more with a gang's order to run; other
//    changes of the same member carry wants alone.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_SESSIONS_H_
#define TRAINYARD_SCHEDULER_RUNTIME_SESSIONS_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "scheduler/core/state.h"
#include "scheduler/runtime/runtime.h"
#include "trainyard/agent/v1/agent.pb.h"

namespace trainyard::runtime {

using AgentMessages = std::vector<std::pair<std::string, agent::v1::SchedulerMessage>>;

class Sessions {
 public:
  explicit Sessions(const Options* options) : options_(options) {}

  // Begins a session anew; the welcome is made with the whole desired state of `state`.
  agent::v1::Welcome Open(const core::State& state, const std::string& node_id);
  void Close(const std::string& node_id);
  bool IsOpen(const std::string& node_id) const { return desks_.contains(node_id); }

  // Notes that the fact is folded; acknowledged with the next messages.
  void FactFolded(const std::string& node_id, uint64_t sequence);

  // Deltas for open sessions after `runs` changed, then acknowledgements.
  void Collect(const core::State& state, const std::set<uint64_t>& runs, AgentMessages* messages);

 private:
  using Key = std::tuple<uint64_t, uint64_t, int32_t>;  // run uid, epoch, member
  struct Told {
    agent::v1::Want want = agent::v1::WANT_UNSPECIFIED;
    agent::v1::StopReason reason = agent::v1::STOP_REASON_UNSPECIFIED;
    bool has_assignment = false;
  };
  struct Desk {
    uint64_t version = 1;
    std::map<Key, Told> told;
    uint64_t fact = 0;  // to acknowledge; 0: nothing new
  };

  void Complete(const core::State& state, agent::v1::DesiredMember* member) const;
  void Compare(const core::State& state, uint64_t run_uid,
               std::map<std::string, agent::v1::DesiredDelta>* deltas);

  const Options* const options_;
  std::map<std::string, Desk> desks_;
  absl::flat_hash_map<uint64_t, std::set<std::string>> nodes_told_;  // by run uid
  std::set<std::string> to_acknowledge_;
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_SESSIONS_H_
