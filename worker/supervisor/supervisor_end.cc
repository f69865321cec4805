// How a member ends: stops, deadlines, the verdict and the exit record; see supervisor.h.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "worker/supervisor/mpirun_launcher.h"
#include "worker/supervisor/process.h"
#include "worker/supervisor/supervisor.h"

namespace trainyard::worker {

namespace {

constexpr int64_t kLingerMillis = 5000;  // mpirun after its last rank
constexpr int kKillMillis = 10000;       // until every descendant is reaped
constexpr size_t kTailBytes = 8192;

// "HH:MM:SS" of a time in microseconds since 1970.
std::string UtcTime(int64_t micros) {
  const time_t seconds = micros / 1000000;
  tm parts{};
  gmtime_r(&seconds, &parts);
  char text[16];
  strftime(text, sizeof text, "%H:%M:%S", &parts);
  return text;
}

int64_t MonotonicNanos() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

}  // namespace

void Supervisor::OnRankEnded(RankState* rank, int wait_status, int64_t time_ns) {
  rank->ended = true;
  rank->wait_status = wait_status;
  rank->end_time_ns = time_ns;
  // The first that failed, and not by us: whether the kernel took it, or a process below it.
  if (wait_status != 0 && !killed_ && rank->still.empty() && FirstFailure() == rank) {
    const bool by_kill = WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL;
    rank->killed_by_host = by_kill && memory_kills_.Took(rank->pid);
    if (!by_kill) rank->victim = memory_kills_.TookBelow(rank->pid);
  }
  bool all = true;
  for (const RankState& state : ranks_) all = all && state.ended;
  if (SpansNodes()) {
    // Other nodes' ranks may run on for long. mpirun would take seconds to end a gang whose rank
    // failed on its own node; when this part is gone the others are told through the scheduler.
    if (wait_status != 0 && !stopping_) EndLauncher();
    return;
  }
  if (all) linger_deadline_ms_ = MonotonicMillis() + kLingerMillis;
  // mpirun ends the others by itself; without it that is ours to do.
  if (wait_status != 0 && !all && launcher_->pid() < 0) Stop("", spec_.grace_ms);
}

void Supervisor::Stop(const std::string& reason, int64_t grace_ms) {
  const int64_t now = MonotonicMillis();
  if (stopping_) {
    // A second stop may only hurry.
    if (kill_deadline_ms_ > 0 && now + grace_ms < kill_deadline_ms_) {
      kill_deadline_ms_ = now + grace_ms;
    }
    if (reason != "STOP_EARLY" && term_deadline_ms_ > 0) term_deadline_ms_ = now;
    return;
  }
  stopping_ = true;
  should_stop_ = true;
  stop_reason_ = reason;
  stop_time_ns_ = MonotonicNanos();
  stop_grace_ms_ = grace_ms;
  if (!reason.empty()) recorder_.Stopping(reason);
  // A program that asks should_stop() ends by itself after the tuner's stop, with its last save.
  if (reason == "STOP_EARLY" && program_asks_) {
    term_deadline_ms_ = now + grace_ms;
    return;
  }
  SignalRanks(SIGTERM);
  kill_deadline_ms_ = now + grace_ms;
}

void Supervisor::SignalRanks(int signal) {
  for (const RankState& rank : ranks_) {
    if (rank.pid > 0 && !rank.ended) kill(rank.pid, signal);
  }
}

int64_t Supervisor::LeaseClock() const {
  return spec_.lease_grace_ms > 0 ? BootMillis() : MonotonicMillis();
}

void Supervisor::CheckDeadlines() {
  const int64_t now = MonotonicMillis();
  if (timeout_deadline_ms_ > 0 && now >= timeout_deadline_ms_) {
    timeout_deadline_ms_ = 0;
    Stop("STOP_TIMEOUT", spec_.grace_ms);
  }
  if (lease_deadline_ms_ > 0 && LeaseClock() >= lease_deadline_ms_) {
    lease_deadline_ms_ = 0;
    Stop("STOP_STALE", spec_.lease_grace_ms > 0 ? spec_.lease_grace_ms : spec_.grace_ms);
  }
  if (term_deadline_ms_ > 0 && now >= term_deadline_ms_) {
    term_deadline_ms_ = 0;
    SignalRanks(SIGTERM);
    kill_deadline_ms_ = now + stop_grace_ms_;
  }
  if (kill_deadline_ms_ > 0 && now >= kill_deadline_ms_) {
    kill_deadline_ms_ = 0;
    if (!killed_) {
      killed_ = true;
      SignalRanks(SIGKILL);
      // Whatever else the ranks left goes with the launcher, shortly after.
      linger_deadline_ms_ = now + 1000;
    }
  }
  if (linger_deadline_ms_ > 0 && now >= linger_deadline_ms_) {
    linger_deadline_ms_ = 0;
    for (pid_t pid : Descendants()) kill(pid, SIGKILL);
  }
}

// It cannot end by itself, and the others wait for it. They follow as when one fails.
void Supervisor::EndStillRank(const StillRank& still) {
  RankState* const rank = FindRank(still.rank);
  if (rank == nullptr || rank->ended) return;
  const int64_t silent_ms = MonotonicNanos() / 1000000 - still.since_ms;
  rank->still_for_sure = still.is_stopped;
  rank->still = "(process " + std::to_string(still.pid) + " on node " + spec_.node + ") " +
                still.doing + " and has used no processor time since " +
                UtcTime(WallMicros() - silent_ms * 1000) + " UTC, for " +
                std::to_string(silent_ms / 1000) +
                " s: it hangs. TRAINYARD_HANG_TIMEOUT in the job's env sets the limit.";
  kill(rank->pid, SIGKILL);
}

void Supervisor::EndLauncher() {
  SignalRanks(SIGKILL);
  if (launcher_->pid() > 0 && !launcher_ended_) kill(launcher_->pid(), SIGKILL);
}

// After the last rank: background processes of the program, and the launcher if it hangs.
void Supervisor::KillAll() { KillDescendants(kKillMillis); }

const RankState* Supervisor::FirstFailure() const {
  const RankState* first = nullptr;
  for (const RankState& rank : ranks_) {
    if (!rank.ended || rank.wait_status == 0) continue;
    if (first == nullptr || rank.end_time_ns < first->end_time_ns) first = &rank;
  }
  return first;
}

ExitReport Supervisor::Verdict() const {
  ExitReport report;
  report.node = spec_.node;
  report.start_us = start_us_;
  report.end_us = WallMicros();
  report.last_step = recorder_.last_step();
  report.metrics_seen = recorder_.names();
  Diagnosis diagnosis;
  const RankState* const first = FirstFailure();
  // A machine that goes down tells every process; the ranks may be quicker.
  const bool with_node = first != nullptr && node_stops_ && WIFSIGNALED(first->wait_status) &&
                         WTERMSIG(first->wait_status) == SIGTERM;
  const bool by_itself =
      first != nullptr && !with_node && (!stopping_ || first->end_time_ns < stop_time_ns_);
  bool all_done = !ranks_.empty();
  for (const RankState& rank : ranks_) {
    all_done = all_done && rank.ended && rank.wait_status == 0 &&
               (!stopping_ || rank.end_time_ns < stop_time_ns_);
  }
  if (launch_failed_) {
    diagnosis = DiagnoseStart(spec_, failure_.step, failure_.path, failure_.error);
    report.rank = failure_.rank;
  } else if (by_itself || (first != nullptr && stop_reason_.empty())) {
    report.rank = first->rank;
    report.stderr_tail = ReadTail(layout::RankLog(first->rank, true), kTailBytes);
    diagnosis = DiagnoseEnd(
        spec_,
        {first->rank, first->wait_status, first->killed_by_host, first->victim, first->still},
        report.stderr_tail);
    if (WIFEXITED(first->wait_status)) report.exit_code = WEXITSTATUS(first->wait_status);
    if (WIFSIGNALED(first->wait_status)) report.signal = WTERMSIG(first->wait_status);
    const bool by_launcher = SpansNodes() && report.signal == SIGTERM;
    if (spec_.gang.size() > 1 && (by_launcher || LostItsPeers(report.stderr_tail))) {
      report.doubt = 2;
    } else if (SpansNodes() && !first->still.empty() && !first->still_for_sure) {
      report.doubt = 1;  // it may have waited for one on another node
    }
  } else if (stopping_ && !stop_reason_.empty() && !all_done) {
    diagnosis = DiagnoseStop(spec_, node_stops_ ? kNodeStops : stop_reason_);
    report.stop = stop_reason_;
  } else if (launcher_ != nullptr && launcher_->pid() >= 0) {
    JudgeLauncher(&report, &diagnosis);
  }
  report.cause = diagnosis.cause;
  report.reason = diagnosis.reason;
  report.message = diagnosis.message;
  return report;
}

// No rank of ours failed by itself. A gang's mpirun says something of the others; where only its
// daemon ran, all that is known is that the gang ended.
void Supervisor::JudgeLauncher(ExitReport* report, Diagnosis* diagnosis) const {
  bool all_done = true;
  for (const RankState& rank : ranks_) all_done = all_done && rank.ended && rank.wait_status == 0;
  if (SpansNodes() && spec_.member != 0) {
    if (all_done) return;
    *diagnosis = DiagnoseDaemon(spec_);
    report->node = spec_.gang[0].node;
    report->doubt = 2;
    return;
  }
  if (launcher_status_ == 0 && (all_done || !SpansNodes())) return;
  report->stderr_tail = ReadTail(kLauncherErr, kTailBytes);
  *diagnosis = DiagnoseLauncher(spec_, launcher_status_, report->stderr_tail);
  if (!SpansNodes()) return;
  report->doubt = 1;
  if (const GangNode* const lost = FindLostNode(spec_, report->stderr_tail)) {
    *diagnosis = DiagnoseLostNode(*lost);
    report->node = lost->node;
  }
}

bool Supervisor::WriteExit(const ExitReport& report) {
  if (exit_file_.Write(layout::kExit, ExitReportToJson(report))) return true;
  fprintf(stderr, "trainyard-supervisor: cannot write %s/%s: %s\n", folder_.c_str(), layout::kExit,
          strerror(errno));
  return false;
}

}  // namespace trainyard::worker
