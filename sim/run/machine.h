// A simulated node: its power, clock, disk, supervisors, and the agent on it, which is the real
// AgentCore; this class performs the core's effects as worker/agent does, step by step, and can die
// or hang between any two of them. What is on the disk and what runs outlives the agent.
// Thread-compatible.
#ifndef TRAINYARD_SIM_RUN_MACHINE_H_
#define TRAINYARD_SIM_RUN_MACHINE_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/run/checker.h"
#include "sim/run/context.h"
#include "sim/run/network.h"
#include "sim/run/scheduler_process.h"
#include "sim/run/sim_clock.h"
#include "sim/run/supervisor.h"
#include "worker/core/agent_core.h"

namespace trainyard::sim {

class Machine {
 public:
  Machine(Context* context, Network* network, Checker* checker, SchedulerProcess* scheduler,
          int node);

  void PowerOn();
  // All processes end at once; what was not synced may be lost.
  void PowerOff(int64_t back_us);
  void CrashAgent(int64_t restart_us);
  void HangAgent(int64_t for_us);
  // The supervisor of one of its members dies with its ranks, if there is one.
  void KillASupervisor();
  // The node will be taken away: its agent tells the scheduler, and after a while its ranks to save
  // and end, as `preempt` does.
  void GiveNotice();
  // The machine shuts down in good order: its supervisors are told, the agent is not.
  void ShutDown();
  void SetSlow(bool slow);
  void SetStoreAway(bool away) { store_away_ = away; }

  bool on() const { return on_; }
  SimClock& clock() { return clock_; }
  size_t live_supervisors() const;

  // What arrives.
  void Arrive(const StreamPtr& stream, const agent::v1::SchedulerMessage& message);
  void Broken(const StreamPtr& stream);

 private:
  struct Folder {
    AssignmentPtr assignment;
    bool launched = false;
    std::optional<uint64_t> reported;  // number of its Exited
    std::shared_ptr<Supervisor> supervisor;
  };
  struct Disk {
    std::vector<agent::v1::Fact> facts;
    uint64_t next_fact = 1;
    uint64_t acknowledged = 0;
    uint64_t incarnation = 0;
    std::map<worker::MemberId, Folder> folders;
  };

  void StartAgent();
  void LeaveSoon();
  void Adopt(const worker::MemberId& id, Folder* folder);
  worker::MemberEnd EndOf(const Folder& folder) const;
  void Run(uint64_t life, const std::function<void()>& work);
  void After(int64_t delay_us, Kind kind, std::function<void()> work);
  worker::Now Time() const;
  // False also when it hangs there: the rest of what it does comes afterwards.
  bool DiesAt(const char* point);

  void Connect();
  void CloseStream();
  void Perform();
  void ScheduleTick();

  void Do(worker::SendToScheduler& effect);
  void Do(const worker::StoreFact& effect);
  void Do(const worker::DropFacts& effect);
  void Do(const worker::StoreIncarnation& effect);
  void Do(const worker::StageMember& effect);
  void Do(const worker::CancelStaging& effect);
  void Do(const worker::LaunchMember& effect);
  void Do(const worker::StopMember& effect);
  void Do(const worker::RenewLease& effect);
  void Do(const worker::PublishMember& effect);
  void Do(const worker::CleanMember& effect);
  void Do(const worker::Reconnect& effect);

  void TryStaging(const worker::MemberId& id, int tries);
  void TryUpload(const worker::MemberId& id, std::function<void(const absl::Status&)> done);
  void OnRunning(const worker::MemberId& id);
  void OnEnded(const worker::MemberId& id);
  void OnSaved(const worker::MemberId& id, int64_t step);
  Supervisor::Listener Listen();
  Folder* Find(const worker::MemberId& id);
  // The release guard is off: the agent does not see which devices it is given either.
  void HideDevices(agent::v1::SchedulerMessage* message);
  int64_t Slowly(int64_t micros) const { return slow_ ? 10 * micros : micros; }

  Context* const context_;
  Network* const network_;
  Checker* const checker_;
  SchedulerProcess* const scheduler_;
  const int node_;
  SimClock clock_;
  v1::NodeInventory inventory_;
  bool on_ = false;
  bool slow_ = false;
  bool store_away_ = false;
  uint64_t boots_ = 0;
  Disk disk_;

  // The agent's process.
  bool agent_up_ = false;
  uint64_t life_ = 0;
  int64_t hung_until_us_ = 0;
  std::deque<std::function<void()>> backlog_;
  std::unique_ptr<worker::AgentCore> core_;
  StreamPtr stream_;
  bool connecting_ = false;
  int failures_ = 0;  // connections in a row that did not come about
  bool performing_ = false;
  std::vector<worker::Effect> effects_;  // of the core, under way
  size_t next_effect_ = 0;
  std::map<worker::MemberId, agent::v1::Assignment> hidden_;  // as they came
  absl::Duration tick_time_ = absl::InfiniteDuration();
  uint64_t tick_round_ = 0;
};

}  // namespace trainyard::sim

#endif  // TRAINYARD_SIM_RUN_MACHINE_H_
