// The supervisor's life and poll loop; see supervisor.h. Requests are in supervisor_requests.cc,
// stops and the verdict in supervisor_end.cc.
#include "worker/supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "worker/supervisor/process.h"

namespace trainyard::worker {
namespace {

constexpr size_t kLaunchBytesMax = 16 << 20;
constexpr int kMetricPollMillis = 200;  // where inotify is not to be had
constexpr int kMemoryLookMillis = 1000;
constexpr int64_t kStrictLookMillis = 1000;
constexpr int kStillLookMillis = 500;
constexpr int kSocketLookMillis = 500;

int64_t MonotonicNanos() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

}  // namespace

Supervisor::~Supervisor() {
  for (int fd : {lock_, signals_, inotify_}) {
    if (fd >= 0) close(fd);
  }
}

int Supervisor::Run() {
  if (!Enter()) return 75;
  start_us_ = WallMicros();
  if (!LoadSpec()) return WriteExit(Verdict()) ? 0 : 1;
  Launch();
  Loop();
  reporter_.Drain();
  if (!spec_.metric_file.empty()) ReadMetricFile(true);
  if (launcher_ != nullptr) launcher_->Finish();
  return WriteExit(Verdict()) ? 0 : 1;
}

bool Supervisor::Enter() {
  umask(077);
  if (chdir(folder_.c_str()) != 0) {
    fprintf(stderr, "trainyard-supervisor: cannot enter %s: %s\n", folder_.c_str(),
            strerror(errno));
    return false;
  }
  lock_ = open(layout::kLock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0 || flock(lock_, LOCK_EX | LOCK_NB) != 0 || access(layout::kExit, F_OK) == 0) {
    fprintf(stderr, "trainyard-supervisor: %s is in use or has run already\n", folder_.c_str());
    return false;
  }
  setsid();  // fails when we lead one already, which is as good
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  const std::string identity = ProcessIdentity(getpid()) + "\n";
  if (ftruncate(lock_, 0) != 0 || !WriteFully(lock_, identity)) return false;
  sigset_t handled;
  sigemptyset(&handled);
  for (int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&handled, number);
  sigprocmask(SIG_BLOCK, &handled, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signals_ = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
  return signals_ >= 0;
}

bool Supervisor::LoadSpec() {
  std::string text;
  launch_failed_ = true;
  if (!ReadWhole(layout::kLaunch, kLaunchBytesMax, &text)) {
    failure_ = {-1, "open", layout::kLaunch, errno};
    return false;
  }
  std::string error;
  if (!LaunchSpecFromJson(text, &spec_, &error)) {
    failure_ = {-1, error, layout::kLaunch, EINVAL};
    return false;
  }
  const bool open = recorder_.Open() &&
                    reporter_.Listen(layout::kReporterSocket, spec_.user_id,
                                     [this](const Connection& from, const std::string& line) {
                                       return OnReporter(from, line);
                                     }) &&
                    control_.Listen(layout::kControlSocket, -1,
                                    [this](const Connection&, const std::string& line) {
                                      return OnControl(line);
                                    });
  if (!open) {
    failure_ = {-1, "open", "the attempt folder's sockets", errno};
    return false;
  }
  launch_failed_ = false;
  return true;
}

void Supervisor::Launch() {
  for (const RankLaunch& rank : spec_.ranks) ranks_.push_back({rank.rank});
  // A path too long for a socket address is reached through our own current folder.
  const std::string socket = folder_ + "/" + layout::kReporterSocket;
  spec_.env[kSocketVariable] =
      socket.size() < 100 ? socket
                          : "/proc/" + std::to_string(getpid()) + "/cwd/" + layout::kReporterSocket;
  memory_kills_.Begin();
  hang_limit_ms_ = HangLimitMillis(spec_.env);
  WatchMetricFile();
  launcher_ = MakeLauncher(spec_);
  launched_ = launcher_->Start(spec_, folder_, &ranks_, &failure_);
  launch_failed_ = !launched_;
  exit_file_.Prepare(layout::kExit);
  const int64_t now = MonotonicMillis();
  if (spec_.timeout_ms > 0) timeout_deadline_ms_ = now + spec_.timeout_ms;
  if (spec_.lease_ms > 0) lease_deadline_ms_ = LeaseClock() + spec_.lease_ms;
  for (const RankState& rank : ranks_) {
    if (rank.pid > 0) recorder_.Rank(rank.rank, rank.pid);
  }
  if (launch_failed_) {
    KillAll();
  } else if (!launcher_->ranks_register()) {
    running_told_ = true;
    recorder_.Running(ranks_[0].pid);
  }
}

bool Supervisor::Over() const {
  if (launch_failed_ && launcher_->pid() < 0) return true;
  if (launcher_->pid() >= 0) return launcher_ended_;
  if (launcher_->ranks_register()) return stopping_;  // no daemon came: nothing has begun
  return std::all_of(ranks_.begin(), ranks_.end(), [](const RankState& r) { return r.ended; });
}

void Supervisor::Loop() {
  while (!Over()) {
    std::vector<pollfd> fds = {{signals_, POLLIN, 0}};
    if (inotify_ >= 0) fds.push_back({inotify_, POLLIN, 0});
    reporter_.AddTo(&fds);
    control_.AddTo(&fds);
    const int ready = poll(fds.data(), fds.size(), PollTimeout());
    if (ready < 0 && errno != EINTR) break;
    if (ready > 0) {
      // Requests first: what a rank said before it ended counts.
      reporter_.Serve(fds);
      control_.Serve(fds);
      if (inotify_ < 0 || (fds[1].fd == inotify_ && fds[1].revents != 0)) ReadMetricFile(false);
      ReadSignals();
    } else if (inotify_ < 0) {
      ReadMetricFile(false);
    }
    CheckDeadlines();
    LookAtMemory();
    LookForStillRanks();
    LookAtSockets();
  }
  KillAll();
}

void Supervisor::LookAtMemory() {
  const int64_t now = MonotonicMillis();
  if (now < memory_look_ms_) return;
  memory_look_ms_ = now + kMemoryLookMillis;
  for (const RankState& rank : ranks_) {
    if (!rank.ended) memory_kills_.Look(rank.pid);
  }
}

void Supervisor::LookForStillRanks() {
  const int64_t now = MonotonicMillis();
  if (hang_limit_ms_ == 0 || stopping_ || now < still_look_ms_) return;
  still_look_ms_ = now + kStillLookMillis;
  std::vector<StillRanks::Watched> ranks;
  for (const RankState& rank : ranks_) {
    if (rank.pid > 0 && !rank.ended) ranks.push_back({rank.rank, rank.pid});
  }
  // A clock that stands still while the machine sleeps.
  const auto still = still_ranks_.Look(ranks, MonotonicNanos() / 1000000, hang_limit_ms_);
  if (still.has_value()) EndStillRank(*still);
}

void Supervisor::LookAtSockets() {
  const int64_t now = MonotonicMillis();
  if (!SpansNodes() || launcher_->pid() < 0 || now < socket_look_ms_) return;
  socket_look_ms_ = now + kSocketLookMillis;
  socket_patience_.Look(launcher_->pid());
}

int Supervisor::PollTimeout() const {
  int64_t next = inotify_ < 0 && !spec_.metric_file.empty() ? MonotonicMillis() + kMetricPollMillis
                                                            : INT64_MAX;
  for (int64_t deadline :
       {term_deadline_ms_, kill_deadline_ms_, timeout_deadline_ms_, linger_deadline_ms_}) {
    if (deadline > 0) next = std::min(next, deadline);
  }
  if (lease_deadline_ms_ > 0) {
    int64_t left = lease_deadline_ms_ - LeaseClock();
    // poll() sleeps with the machine: a strict run looks at the time soon after it woke.
    if (spec_.lease_grace_ms > 0) left = std::min(left, kStrictLookMillis);
    next = std::min(next, MonotonicMillis() + left);
  }
  next = std::min(next, memory_look_ms_);
  if (hang_limit_ms_ > 0) next = std::min(next, still_look_ms_);
  if (SpansNodes() && launcher_->pid() >= 0) next = std::min(next, socket_look_ms_);
  return static_cast<int>(std::clamp<int64_t>(next - MonotonicMillis(), 0, 60000));
}

void Supervisor::ReadSignals() {
  signalfd_siginfo info{};
  bool child = false;
  while (read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo == SIGCHLD) {
      child = true;
    } else if (info.ssi_signo != SIGHUP) {
      // Nobody of ours sends one: the machine is being shut down, or its administrator wants it
      // empty.
      node_stops_ = true;
      Stop("STOP_PREEMPT", spec_.grace_ms);
    }
  }
  if (child) Reap();
}

void Supervisor::Reap() {
  int status = 0;
  pid_t pid = 0;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    const int64_t now = MonotonicNanos();
    if (pid == launcher_->pid()) {
      launcher_ended_ = true;
      launcher_status_ = status;
      continue;
    }
    if (launcher_->ranks_register()) continue;  // the shims tell how ranks under mpirun end
    for (RankState& rank : ranks_) {
      if (rank.pid == pid && !rank.ended) OnRankEnded(&rank, status, now);
    }
  }
}

void Supervisor::WatchMetricFile() {
  if (spec_.metric_file.empty()) return;
  const std::string folder = spec_.metric_file.substr(0, spec_.metric_file.rfind('/') + 1);
  inotify_ = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (inotify_ >= 0 &&
      inotify_add_watch(inotify_, folder.c_str(), IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO) < 0) {
    close(inotify_);
    inotify_ = -1;
  }
}

void Supervisor::ReadMetricFile(bool complete) {
  char buffer[4096];
  while (inotify_ >= 0 && read(inotify_, buffer, sizeof buffer) > 0) {
  }
  recorder_.Metrics(metric_file_.Read(spec_.metric_file, complete));
}

}  // namespace trainyard::worker
