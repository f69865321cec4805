// What a supervisor answers on its two sockets; see supervisor.h.
#include <errno.h>
#include <sys/stat.h>

#include "worker/core/daemon_command.h"
#include "worker/supervisor/files.h"
#include "worker/supervisor/supervisor.h"

namespace trainyard::worker {
namespace {

// A relative path without empty, "." or ".." components.
bool IsInside(const std::string& path) {
  for (size_t start = 0; start <= path.size();) {
    size_t end = path.find('/', start);
    if (end == std::string::npos) end = path.size();
    const std::string part = path.substr(start, end - start);
    if (part.empty() || part == "." || part == "..") return false;
    start = end + 1;
  }
  return true;
}

}  // namespace

RankState* Supervisor::FindRank(int32_t rank) {
  for (RankState& state : ranks_) {
    if (state.rank == rank) return &state;
  }
  return nullptr;
}

// A point's rank: as said, else by the process that sent it, else this member's first.
int32_t Supervisor::RankOf(const Connection& from, int32_t said) const {
  if (said >= 0) return said;
  for (const RankState& rank : ranks_) {
    if (rank.pid == from.peer) return rank.rank;
  }
  return ranks_.empty() ? 0 : ranks_[0].rank;
}

std::string Supervisor::OnReporter(const Connection& from, const std::string& line) {
  const Request request = ParseReporterRequest(line);
  switch (request.kind) {
    case Request::Kind::kHello:
      return OnHello(request, from);
    case Request::Kind::kReport: {
      std::vector<MetricLine> points;
      const int64_t now = WallMicros();
      for (const auto& [name, value] : request.metrics) {
        points.push_back({name, request.step, value, RankOf(from, request.rank), now});
      }
      recorder_.Metrics(points);
      return ReportReply(should_stop_);
    }
    case Request::Kind::kCheckpoint:
      return OnCheckpoint(request);
    case Request::Kind::kShouldStop:
      program_asks_ = true;
      return ShouldStopReply(should_stop_);
    case Request::Kind::kRankExited: {
      RankState* const rank = FindRank(request.rank);
      if (rank == nullptr) return ErrorReply("this member has no such rank");
      if (!rank->ended) OnRankEnded(rank, request.status, request.time_ns);
      return OkReply();
    }
    case Request::Kind::kRankFailed:
      if (!launch_failed_) failure_ = {request.rank, "exec", request.path, request.status};
      launch_failed_ = true;
      return OkReply();
    case Request::Kind::kSpawn:
      return OnSpawn(request);
    case Request::Kind::kStop:
    case Request::Kind::kLease:
    case Request::Kind::kEarlyStop:
    case Request::Kind::kDaemon:
    case Request::Kind::kSpawnFailed:
    case Request::Kind::kInvalid:
      break;
  }
  return ErrorReply(request.error);
}

std::string Supervisor::OnHello(const Request& request, const Connection& from) {
  RankState* const rank = FindRank(request.rank);
  if (rank == nullptr) return ErrorReply("this member has no such rank");
  // Once stopping, what has not begun does not begin.
  if (stopping_ && rank->pid < 0) return "{\"ok\":false,\"stop\":true}";
  if (rank->pid < 0) {
    rank->pid = request.pid > 0 ? request.pid : from.peer;
    recorder_.Rank(rank->rank, rank->pid);
  }
  bool all = true;
  for (const RankState& state : ranks_) all = all && state.pid > 0;
  if (all && !running_told_) {
    running_told_ = true;
    recorder_.Running(ranks_[0].pid);
  }
  return OkReply();
}

std::string Supervisor::OnCheckpoint(const Request& request) {
  const std::string path =
      request.path.empty() ? "step_" + std::to_string(request.step) : request.path;
  if (!IsInside(path)) {
    return ErrorReply("path \"" + path + "\" must be relative to AIP_CHECKPOINT_DIR");
  }
  struct stat info {};
  const std::string full = std::string(layout::kCheckpoints) + "/" + path;
  if (stat(full.c_str(), &info) != 0) {
    return ErrorReply("there is no \"" + path + "\" in AIP_CHECKPOINT_DIR");
  }
  recorder_.Checkpoint(request.step, path);
  return OkReply();
}

// The node's agent reads the record, has the words brought to that node's supervisor, and tells us
// only when that failed: mpirun waits for the daemon itself.
std::string Supervisor::OnSpawn(const Request& request) {
  std::string error;
  std::vector<std::string> argv;
  if (!SplitDaemonWords(request.words, &argv, &error)) return ErrorReply(error);
  for (size_t member = 0; member < spec_.gang.size(); ++member) {
    if (spec_.gang[member].address != request.host) continue;
    if (static_cast<int32_t>(member) == spec_.member) break;
    recorder_.Spawn(static_cast<int32_t>(member), argv);
    return OkReply();
  }
  return ErrorReply("no other node of the gang is called \"" + request.host + "\"");
}

std::string Supervisor::OnDaemon(const Request& request) {
  if (stopping_) return ErrorReply("the member stops");
  const std::string error = launcher_->StartDaemon(request.words);
  if (error.empty()) return OkReply();
  if (launcher_->pid() < 0) {
    failure_ = {-1, "daemon", error, EINVAL};
    launch_failed_ = true;
  }
  return ErrorReply(error);
}

std::string Supervisor::OnControl(const std::string& line) {
  const Request request = ParseControlRequest(line);
  switch (request.kind) {
    case Request::Kind::kStop:
      Stop(request.reason, request.millis < 0 ? spec_.grace_ms : request.millis);
      return OkReply();
    case Request::Kind::kLease:
      // Never shorter than what was promised before: messages may overtake each other.
      if (request.millis > 0) {
        const int64_t until = LeaseClock() + request.millis;
        if (lease_deadline_ms_ == 0 || until > lease_deadline_ms_) lease_deadline_ms_ = until;
      }
      return OkReply();
    case Request::Kind::kEarlyStop:
      should_stop_ = true;
      return OkReply();
    case Request::Kind::kDaemon:
      return OnDaemon(request);
    case Request::Kind::kSpawnFailed:
      failure_ = {-1, "daemon", request.reason, EINVAL};
      launch_failed_ = true;
      EndLauncher();
      return OkReply();
    case Request::Kind::kHello:
    case Request::Kind::kReport:
    case Request::Kind::kCheckpoint:
    case Request::Kind::kShouldStop:
    case Request::Kind::kRankExited:
    case Request::Kind::kRankFailed:
    case Request::Kind::kSpawn:
    case Request::Kind::kInvalid:
      break;
  }
  return ErrorReply(request.error);
}

}  // namespace trainyard::worker
