// The runtime: owner thread (Decide -> append -> Apply), commit thread (group commit), planner
// threads, timers, the published read view and the link to agents. Replies, effects and view
// publication of a command wait until its events are durable; the owner thread goes on meanwhile. A
// failed sync ends the process.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_RUNTIME_H_
#define TRAINYARD_SCHEDULER_RUNTIME_RUNTIME_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "scheduler/core/command.h"
#include "scheduler/journal/journal.h"
#include "scheduler/placement/policy.h"
#include "scheduler/runtime/planner.h"
#include "scheduler/runtime/view.h"

namespace trainyard::runtime {

// To one agent, made by the transport (gRPC, simulator). Calls come from the commit thread, in
// order.
class AgentLink {
 public:
  virtual ~AgentLink() = default;
  // False when the agent is not connected; it gets the whole desired state when it connects.
  virtual bool Send(const std::string& node_id, const agent::v1::SchedulerMessage& message) = 0;
};

struct Options {
  const Clock* clock = &RealClock();
  std::string version;
  std::string token_secret;   // signs attempt tokens
  std::string store_address;  // set before agents connect
  absl::Duration lease = absl::Seconds(15);
  absl::Duration heartbeat = absl::Seconds(1);
  int study_threads = 1;      // besides the one that places
  int batch_max = 512;        // commands in one commit
  size_t queue_max = 100000;  // commands waiting; RESOURCE_EXHAUSTED beyond
  std::vector<std::string> capabilities = {"control.v1", "telemetry.v1"};  // told in handshakes
  size_t recent_jobs_max = 1000;  // terminal jobs kept in memory; older ones are read from rows
  // Kept free on the journal's disk for facts, cancels and leases; see disk_guard.h. "" : none.
  std::string state_folder;
  int64_t reserve_bytes = 16 << 20;
  placement::Policy policy;  // how waiting runs are served; queues may have their own
  bool plan_apart = false;   // small clusters are planned as large ones are, for tests
  uint64_t seed = 0;         // of made-up names and study seeds; 0: from the kernel
};

class Runtime {
 public:
  // Recovers from `journal`, starts the threads. DATA_LOSS and other errors of Recover as they are.
  static absl::StatusOr<std::unique_ptr<Runtime>> Start(journal::Journal* journal, AgentLink* link,
                                                        Options options);
  virtual ~Runtime() = default;  // drains, commits, joins

  using Callback = std::function<void(absl::StatusOr<core::Reply>)>;
  // Queues a command; now_us and random are filled in. `done` runs on the commit thread after the
  // events are durable and the view shows them; it must not block. Admission order: facts, cancels,
  // submits. An ask for more trials than there are is answered once the optimiser has made them.
  virtual void Post(core::Command command, Callback done) = 0;

  virtual const View& view() const = 0;
  // Whether the node's agent has a session now.
  virtual bool AgentLinked(const std::string& node_id) const = 0;

  // Agent sessions. Connected: the reply is the whole desired state. Heartbeats renew the lease.
  // `session`: a number of this connection alone. Of a node's sessions the one that connected last
  // counts: that an older one ends, whenever it is told, changes nothing.
  virtual void AgentConnected(const std::string& node_id, uint64_t session,
                              const agent::v1::Hello& hello,
                              std::function<void(absl::StatusOr<agent::v1::Welcome>)> done) = 0;
  // False: the lease is over and lost; the session must end so that the agent connects anew.
  virtual bool AgentHeartbeat(const std::string& node_id) = 0;
  virtual void AgentDisconnected(const std::string& node_id, uint64_t session) = 0;

  // What would become of a job if it were submitted now; nothing is changed. `submit` as for Post.
  // `done` is called from any thread; faults of the submit as Post would answer them.
  virtual void LookAhead(core::Command submit,
                         std::function<void(absl::StatusOr<Preview>)> done) = 0;

  // What would start a run that waits, found out by plans of the queue as it is now; the search
  // ends after kWhatIfTime with what it has. Nothing for other runs, or while many ask. `done` is
  // called from any thread.
  static constexpr absl::Duration kWhatIfTime = absl::Seconds(2);
  virtual void WhatIf(uint64_t run_uid,
                      std::function<void(std::vector<placement::Counterfactual>)> done) = 0;
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_RUNTIME_H_
