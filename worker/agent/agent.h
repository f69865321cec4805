// The agent: owns AgentCore and performs its effects on this machine. One loop thread for
// everything but blocking work and gRPC's own threads.
//  - Blocking work has a pool for each kind, so that no kind waits for another: a package whose
//    installation hangs keeps back neither plain starts nor checkpoints. Each piece has a deadline
//    by the steady clock, from when it was asked for.
//  - Effects are performed in order; a fact is on disk before it is sent.
//  - A member's supervisor is started detached and is found again after a restart of the agent; a
//    stopped agent changes nothing for its members.
//  - What a member appends to its files is noticed by inotify, its end by a pidfd.
#ifndef TRAINYARD_WORKER_AGENT_AGENT_H_
#define TRAINYARD_WORKER_AGENT_AGENT_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "trainyard/agent/v1/agent.pb.h"
#include "worker/agent/attempt_folder.h"
#include "worker/agent/ended_folders.h"
#include "worker/agent/event_loop.h"
#include "worker/agent/fact_log.h"
#include "worker/agent/network.h"
#include "worker/agent/open_mpi.h"
#include "worker/agent/publisher.h"
#include "worker/agent/stager.h"
#include "worker/agent/supervisor_process.h"
#include "worker/agent/telemetry.h"
#include "worker/agent/work_pool.h"
#include "worker/core/agent_core.h"
#include "worker/core/launch_build.h"

namespace trainyard::worker {

struct AgentOptions {
  std::string work_dir;     // attempts/, cache/, facts/ below it
  std::string bin_folder;   // with trainyard-supervisor and trainyard-rank
  std::string python_path;  // with the module `trainyard`; "" : none
  std::string mpirun = "mpirun";
  OpenMpi open_mpi;
  OwnNetwork network;
  PortRange ports;  // for gangs
  v1::NodeInventory inventory;
  Environment base_env;     // what programs inherit
  Stager::Limits packages;  // kept on this node
  int pool_threads = 4;     // of each kind of blocking work
  size_t pool_waiting_max = 10'000;
  // A supervisor that answers nothing for so long is taken for hung, and ended with its ranks.
  absl::Duration supervisor_patience = absl::Minutes(2);
};

// Where the agent's messages go; the daemon's is gRPC, a test's may be anything. Loop thread.
struct AgentChannels {
  std::function<void(const agent::v1::AgentMessage&)> send_control;
  std::function<void(const agent::v1::TelemetryBatch&)> send_telemetry;
  std::function<void(const std::string& why)> reconnect;
  // Answers on the loop.
  std::function<void(const agent::v1::SpawnDaemonRequest&, std::function<void(absl::Status)>)>
      spawn_daemon;
  Stager::MakeClient make_client;
};

class Agent {
 public:
  Agent(EventLoop* loop, AgentOptions options, AgentChannels channels);
  // Blocking work that has begun is finished or given up; members run on.
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // Opens the folders and adopts what an earlier agent left. Call once, before the channels open.
  absl::Status Start();

  // What the channels bring; loop thread.
  void OnControlConnected();
  void OnControlDisconnected();
  void OnControlMessage(const agent::v1::SchedulerMessage& message);
  // When the machine is taken away; InfiniteFuture: it is not, any more. The scheduler is told, and
  // stops what runs here; what it has not stopped in time is stopped here.
  void OnLeave(absl::Time until);
  void OnTelemetryConnected() { telemetry_.OnConnected(); }
  void OnTelemetryDisconnected() { telemetry_.OnDisconnected(); }
  void OnTelemetryAck(uint64_t sequence) { telemetry_.OnAck(sequence); }

  const AgentCore& core() const { return *core_; }

 private:
  struct Member {
    explicit Member(std::string path) : folder(std::move(path)) {}
    AttemptFolder folder;
    std::optional<SupervisorProcess> supervisor;
    FileDescriptor seized;   // the folder's lock, when an adopted member turned out to be dead
    bool announced = false;  // the core was told that it runs
    int watches[2] = {-1, -1};
    int64_t events_read = 0;
    bool staging = false;  // a pool thread works in the folder
    // Staging's result is not wanted any more.
    std::shared_ptr<std::atomic<bool>> cancelled = std::make_shared<std::atomic<bool>>(false);
    bool clean = false;  // remove it when staging is through
    bool output_done = false;
    bool telemetry_done = false;
    absl::Status publish_status;
    std::vector<v1::OutputTree> outputs;
    int unanswered = 0;  // looks at the supervisor, one after the other
    bool hung = false;   // and therefore it was killed
    uint64_t stop_timer = 0;
    std::string stop_line;
    absl::Duration stop_pause;     // before the next try to tell it
    absl::Duration stop_deadline;  // when a supervisor that does not answer is killed
    int uploads = 0;               // checkpoints on their way
    int64_t declared = 0;          // checkpoints that were declared
    // Steady microseconds: they are given up then, because the member's end waits for them.
    std::shared_ptr<std::atomic<int64_t>> uploads_until =
        std::make_shared<std::atomic<int64_t>>(INT64_MAX);
    std::string daemon_line;  // for the supervisor: what mpirun of the gang's head wants here
    absl::Duration daemon_deadline;
  };

  // Effects.
  void Perform();
  void Do(const SendToScheduler& effect);
  void Do(const StoreFact& effect);
  void Do(const DropFacts& effect);
  void Do(const StoreIncarnation& effect);
  void Do(const StageMember& effect);
  void Do(const CancelStaging& effect);
  void Do(const LaunchMember& effect);
  void Do(const StopMember& effect);
  void Do(const RenewLease& effect);
  void LookAtSupervisors();
  void Do(const PublishMember& effect);
  void Do(const CleanMember& effect);
  void Do(const Reconnect& effect);

  void Adopt(const FoundAttempt& found);
  void AdoptEnded(const FoundAttempt& found, const agent::v1::Assignment& assignment);
  void Watch(const MemberId& id, Member* member);
  void Unwatch(Member* member);
  void WatchEnd(const MemberId& id, Member* member);
  absl::Status Launch(const MemberId& id, Member* member);
  absl::StatusOr<LaunchSpec> SpecFor(const MemberId& id, const Member& member);
  void FinishStaging(const MemberId& id, const absl::Status& status);
  void OnInotify();
  void ReadEvents(const MemberId& id, Member* member);
  void OnEvent(const MemberId& id, Member* member, const std::string& line);
  std::string KeepPart(Member* member, const std::string& path, std::string* own);
  void UploadPart(const MemberId& id, Member* member, int64_t step, const std::string& path);
  void OnSupervisorEnded(const MemberId& id);
  MemberEnd ReadEnd(const MemberId& id, const Member& member);
  void TellStop(const MemberId& id);
  void Publish(const MemberId& id, Member* member, int64_t step);
  void CheckPublished(const MemberId& id);
  void RemoveFolder(const MemberId& id);
  void SweepLater();
  // Gangs over several nodes; agent_daemon.cc.
  void OnSpawn(const MemberId& id, int32_t target, std::vector<std::string> argv);
  void RelaySpawn(const MemberId& id, const agent::v1::SpawnDaemonRequest& request,
                  absl::Duration give_up);
  void TellSpawnFailed(const MemberId& id, const absl::Status& status);
  void OnStartDaemon(const agent::v1::StartDaemon& order);
  void TellDaemon(const MemberId& id);
  void RefuseDaemon(const MemberId& id, const std::string& why);
  void OnDaemonRefused(const agent::v1::DaemonRefused& refused);
  void ScheduleTick();
  // Does `work` with a client of the store, and again while the store cannot be reached, as long as
  // `patience` lasts; all of it ends once `over` says so. Pool thread.
  using Ask = std::function<bool()>;
  absl::Status WithStore(const std::string& token,
                         const std::function<absl::Status(blob::Client*)>& work,
                         const Ask& impatient, const Ask& over) const;
  // True once `limit` from now has passed, by the steady clock; any thread.
  Ask After(absl::Duration limit) const;
  Member* Find(const MemberId& id);
  Now Time() const;
  // Runs `job` on the pool of its kind and `then` on the loop, unless the agent is gone. False when
  // too much of the kind waits: then neither runs.
  enum class Work { kInstall, kStage, kCheckpoint, kPublish, kRemove };
  static constexpr size_t kWorks = 5;
  bool InBackground(Work work, std::function<void()> job, std::function<void()> then);

  EventLoop* const loop_;
  const AgentOptions options_;
  const AgentChannels channels_;
  const std::string attempts_;
  FileDescriptor lock_;
  std::optional<FactLog> facts_;
  std::unique_ptr<AgentCore> core_;
  Telemetry telemetry_;
  Stager stager_;
  EndedFolders ended_;
  StoreAddress store_address_;
  std::atomic<bool> closing_{false};  // pool threads stop trying
  std::map<MemberId, Member> members_;
  std::map<int, MemberId> watches_;  // inotify's numbers
  FileDescriptor inotify_;
  bool performing_ = false;
  uint64_t tick_timer_ = 0;
  uint64_t sweep_timer_ = 0;
  uint64_t leave_timer_ = 0;
  absl::Duration tick_time_ = absl::InfiniteDuration();
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::array<std::unique_ptr<WorkPool>, kWorks> pools_;  // last: their threads end first
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_AGENT_H_
