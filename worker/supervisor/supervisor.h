// The supervisor of one member: starts its ranks, serves their reporter socket and the agent's
// control socket, enforces time limit, lease and stop, and leaves exit.json. One thread, one poll
// loop. It outlives the agent: everything it needs is in the attempt folder.
//  - At most one lives per folder (flock on `lock`); a folder with an exit.json is never run again.
//  - Before exit.json appears every descendant is gone.
//  - A stop signals the ranks themselves; the launcher is touched only after the grace.
#ifndef TRAINYARD_WORKER_SUPERVISOR_SUPERVISOR_H_
#define TRAINYARD_WORKER_SUPERVISOR_SUPERVISOR_H_

#include <memory>
#include <string>
#include <vector>

#include "worker/core/launch_spec.h"
#include "worker/supervisor/diagnosis.h"
#include "worker/supervisor/files.h"
#include "worker/supervisor/launcher.h"
#include "worker/supervisor/line_server.h"
#include "worker/supervisor/memory_kills.h"
#include "worker/supervisor/metric_file.h"
#include "worker/supervisor/recorder.h"
#include "worker/supervisor/requests.h"
#include "worker/supervisor/socket_patience.h"
#include "worker/supervisor/still_ranks.h"

namespace trainyard::worker {

// For how long a node of a gang may leave unanswered what mpirun sends it; as long as mpirun's own
// probes take.
inline constexpr int kUnansweredMillis = 2000;

class Supervisor {
 public:
  // `folder`: the absolute attempt folder with launch.json in it.
  explicit Supervisor(std::string folder) : folder_(std::move(folder)) {}
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // The whole life. 0: exit.json is written (whatever the program did); 1: it could not be; 75:
  // another supervisor has the folder, or it ran already. Changes the process: session, signal
  // mask, current folder, subreaper.
  int Run();

 private:
  bool Enter();     // folder, lock, session, signals
  bool LoadSpec();  // launch.json and sockets
  void Launch();
  void Loop();
  bool Over() const;
  // Milliseconds. A strict run's lease goes on while the machine sleeps, because the scheduler's
  // does; all else counts the time in which a program could run.
  int64_t LeaseClock() const;
  int PollTimeout() const;
  void ReadSignals();
  void Reap();
  void WatchMetricFile();
  void ReadMetricFile(bool complete);
  void CheckDeadlines();
  void LookAtMemory();
  void LookForStillRanks();
  void LookAtSockets();
  void EndStillRank(const StillRank& still);

  std::string OnReporter(const Connection& from, const std::string& line);
  std::string OnHello(const Request& request, const Connection& from);
  std::string OnCheckpoint(const Request& request);
  std::string OnSpawn(const Request& request);
  std::string OnDaemon(const Request& request);
  std::string OnControl(const std::string& line);
  RankState* FindRank(int32_t rank);
  int32_t RankOf(const Connection& from, int32_t said) const;
  void OnRankEnded(RankState* rank, int wait_status, int64_t time_ns);

  // `reason`: a name of agent.v1.StopReason, or "" when a rank failed and the others follow.
  void Stop(const std::string& reason, int64_t grace_ms);
  void SignalRanks(int signal);
  void KillAll();
  // Ends this node's part of a gang that mpirun holds together, at once.
  void EndLauncher();

  const RankState* FirstFailure() const;
  ExitReport Verdict() const;
  void JudgeLauncher(ExitReport* report, Diagnosis* diagnosis) const;
  // mpirun holds this member and others together.
  bool SpansNodes() const { return spec_.gang.size() > 1 && launcher_->ranks_register(); }
  bool WriteExit(const ExitReport& report);

  const std::string folder_;
  LaunchSpec spec_;
  int lock_ = -1;
  int signals_ = -1;
  int inotify_ = -1;
  std::unique_ptr<Launcher> launcher_;
  std::vector<RankState> ranks_;
  bool launched_ = false;
  bool launch_failed_ = false;
  LaunchFailure failure_;
  bool launcher_ended_ = false;
  int launcher_status_ = 0;
  bool running_told_ = false;

  LineServer reporter_;
  LineServer control_;
  Recorder recorder_;
  MetricFile metric_file_;

  bool should_stop_ = false;   // what programs are told
  bool program_asks_ = false;  // it has called should_stop: it may end by itself
  bool stopping_ = false;
  bool node_stops_ = false;  // a SIGTERM came that is none of ours
  std::string stop_reason_;
  int64_t stop_time_ns_ = 0;
  int64_t stop_grace_ms_ = 0;
  int64_t term_deadline_ms_ = 0;  // 0: none. SIGTERM is due (soft stop)
  int64_t kill_deadline_ms_ = 0;  // 0: none
  int64_t timeout_deadline_ms_ = 0;
  int64_t lease_deadline_ms_ = 0;   // by LeaseClock()
  int64_t linger_deadline_ms_ = 0;  // ranks are gone, the launcher is not
  bool killed_ = false;
  PreparedFile exit_file_;
  int64_t start_us_ = 0;
  MemoryKills memory_kills_;
  int64_t memory_look_ms_ = 0;  // next time
  StillRanks still_ranks_;
  int64_t hang_limit_ms_ = 0;  // 0: none
  int64_t still_look_ms_ = 0;  // next time
  SocketPatience socket_patience_{kUnansweredMillis};
  int64_t socket_look_ms_ = 0;  // next time
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_SUPERVISOR_SUPERVISOR_H_
