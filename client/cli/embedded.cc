// See embedded.h.
#include "client/cli/embedded.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/daemon.h"
#include "client/sdk/client.h"
#include "common/errors.h"
#include "common/file.h"

namespace trainyard::cli {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(15);
constexpr absl::Duration kStopPatience = absl::Seconds(10);
constexpr size_t kLogShownBytes = 2000;

absl::Status MakeStateFolders(const EmbeddedFolders& folders) {
  for (const std::string& folder : {folders.state, folders.run, folders.log, folders.work}) {
    if (absl::Status status = MakeFolders(folder, 0700); !status.ok()) {
      return MakeError(absl::StatusCode::kPermissionDenied, "OUTPUT_NOT_WRITABLE",
                       absl::StrCat("the state folder cannot be made: ", status.message()),
                       "set TRAINYARD_STATE to a folder that you may write");
    }
  }
  struct stat info {};
  if (stat(folders.state.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    chmod(folders.state.c_str(), 0700);  // it holds the token
  }
  return absl::OkStatus();
}

absl::StatusOr<FileDescriptor> LockStarter(const EmbeddedFolders& folders) {
  const std::string path = JoinPath(folders.run, "up.lock");
  FileDescriptor lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) return ErrnoError(errno, "cannot open", path);
  if (flock(lock.get(), LOCK_EX) != 0) return ErrnoError(errno, "cannot lock", path);
  return lock;
}

// A daemon's log, of which what was there before it started is of no interest.
struct DaemonLog {
  explicit DaemonLog(std::string file) : path(std::move(file)) {
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    if (!error) from = static_cast<size_t>(size);
  }
  std::string path;
  size_t from = 0;
};

absl::Status DaemonFailed(const char* what, const std::string& how, const DaemonLog& log) {
  return MakeError(absl::StatusCode::kInternal, "INTERNAL",
                   absl::StrCat(what, " ", how, "; the end of ", log.path, ":\n",
                                LastOfLog(log.path, kLogShownBytes, log.from)),
                   "mend what the log says, then: trainyard up");
}

// Polls `ready` while the child lives. `pid` 0: a daemon that was there before.
absl::Status Await(const char* what, pid_t pid, const DaemonLog& log, absl::Time deadline,
                   const std::function<bool()>& ready) {
  while (!ready()) {
    if (const std::string how = pid == 0 ? "" : HowItEnded(pid); !how.empty()) {
      return DaemonFailed(what, absl::StrCat("ended with ", how), log);
    }
    if (absl::Now() > deadline) return DaemonFailed(what, "does not get ready", log);
    absl::SleepFor(kPoll);
  }
  return absl::OkStatus();
}

absl::StatusOr<pid_t> Start(const DaemonSpec& spec) {
  const absl::StatusOr<pid_t> pid = StartDaemon(spec);
  if (absl::IsNotFound(pid.status())) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                     std::string(pid.status().message()),
                     "build or install all programs into one folder");
  }
  return pid;
}

absl::StatusOr<bool> StartScheduler(Context* context, const EmbeddedFolders& folders,
                                    const StartOptions& options, absl::Time deadline) {
  pid_t pid = LivingPid(folders.scheduler_pid_file);
  const bool was_running = pid != 0;
  const DaemonLog log(JoinPath(folders.log, "scheduler.log"));
  if (!was_running) {
    unlink(JoinPath(folders.state, "endpoint.json").c_str());  // of one that was killed
    DaemonSpec spec;
    spec.program = JoinPath(context->binary_folder, "trainyard-scheduler");
    spec.arguments = {absl::StrCat("--state_dir=", folders.state),
                      absl::StrCat("--embedded_node=", options.node_id)};
    if (!options.listen.empty()) spec.arguments.push_back("--listen=" + options.listen);
    if (!options.http_listen.empty()) {
      spec.arguments.push_back("--http_listen=" + options.http_listen);
    }
    spec.arguments.insert(spec.arguments.end(), options.scheduler_flags.begin(),
                          options.scheduler_flags.end());
    spec.pid_file = folders.scheduler_pid_file;
    spec.log_file = log.path;
    const absl::StatusOr<pid_t> started = Start(spec);
    if (!started.ok()) return started.status();
    pid = *started;
  }
  const absl::Status status =
      Await("the scheduler", was_running ? 0 : pid, log, deadline, [&folders, pid] {
        const auto endpoint = client::ReadEmbeddedEndpoint(folders.state);
        return endpoint.ok() && endpoint->pid == pid;
      });
  if (!status.ok()) return status;
  return was_running;
}

absl::StatusOr<bool> StartAgent(Context* context, const EmbeddedFolders& folders,
                                const StartOptions& options, absl::Time deadline) {
  pid_t pid = LivingPid(folders.agent_pid_file);
  const bool was_running = pid != 0;
  const DaemonLog log(JoinPath(folders.log, "agent.log"));
  const auto endpoint = client::ReadEmbeddedEndpoint(folders.state);
  if (!endpoint.ok()) return endpoint.status();
  if (!was_running) {
    DaemonSpec spec;
    spec.program = JoinPath(context->binary_folder, "trainyard-agent");
    spec.arguments = {absl::StrCat("--scheduler=", endpoint->grpc),
                      absl::StrCat("--token_file=", JoinPath(folders.state, "agent.token")),
                      absl::StrCat("--work_dir=", folders.work),
                      absl::StrCat("--node_id=", options.node_id)};
    const std::string python = PythonPath(context->binary_folder);
    if (!python.empty()) spec.arguments.push_back("--python_path=" + python);
    if (options.cores > 0) spec.arguments.push_back(absl::StrCat("--cores=", options.cores));
    if (!options.memory.empty()) spec.arguments.push_back("--memory=" + options.memory);
    spec.arguments.insert(spec.arguments.end(), options.agent_flags.begin(),
                          options.agent_flags.end());
    spec.pid_file = folders.agent_pid_file;
    spec.log_file = log.path;
    const absl::StatusOr<pid_t> started = Start(spec);
    if (!started.ok()) return started.status();
    pid = *started;
  }
  // The cluster of this state folder, whatever the settings name.
  client::EndpointFlags flags;
  flags.embedded = true;
  absl::StatusOr<client::Endpoint> here = client::FindEndpoint(flags, context->environment());
  if (!here.ok()) return here.status();
  client::Client client(*std::move(here), client::ClientOptions());
  const absl::Status status = Await("the agent", was_running ? 0 : pid, log, deadline, [&client] {
    const auto nodes = client.ListNodes({});
    if (!nodes.ok()) return false;
    for (const v1::Node& node : nodes->nodes()) {
      if (node.state() == v1::READY || node.state() == v1::DRAINING ||
          node.state() == v1::DRAINED) {
        return true;
      }
    }
    return false;
  });
  if (!status.ok()) return status;
  return was_running;
}

}  // namespace

EmbeddedFolders FoldersOf(const std::string& state) {
  EmbeddedFolders folders;
  folders.state = state;
  folders.run = JoinPath(state, "run");
  folders.log = JoinPath(state, "log");
  folders.work = JoinPath(state, "agent");
  folders.scheduler_pid_file = JoinPath(folders.run, "scheduler.pid");
  folders.agent_pid_file = JoinPath(folders.run, "agent.pid");
  return folders;
}

std::string PythonPath(const std::string& binary_folder) {
  std::error_code error;
  const std::filesystem::path installed =
      std::filesystem::weakly_canonical(binary_folder + "/../lib/python", error);
  if (std::filesystem::is_directory(installed / "trainyard", error)) return installed.string();
  const std::filesystem::path source = TRAINYARD_SOURCE_PYTHON;
  if (std::filesystem::is_directory(source / "trainyard", error)) return source.string();
  return "";
}

absl::StatusOr<Started> StartEmbedded(Context* context, const StartOptions& options) {
  const EmbeddedFolders folders = FoldersOf(client::StateFolder(context->environment()));
  if (absl::Status status = MakeStateFolders(folders); !status.ok()) return status;
  const absl::StatusOr<FileDescriptor> lock = LockStarter(folders);
  if (!lock.ok()) return lock.status();
  const absl::Time deadline = absl::Now() + options.patience;
  const bool was_there = LivingPid(folders.scheduler_pid_file) != 0;
  const absl::StatusOr<bool> scheduler = StartScheduler(context, folders, options, deadline);
  absl::StatusOr<bool> agent = scheduler;
  if (scheduler.ok()) agent = StartAgent(context, folders, options, deadline);
  if (agent.ok()) return Started{*scheduler, *agent};
  // Nothing half-done: what this call has started ends with it.
  if (!was_there) StopEmbedded(folders, kStopPatience).status().IgnoreError();
  return agent.status();
}

absl::StatusOr<bool> StopEmbedded(const EmbeddedFolders& folders, absl::Duration patience) {
  const bool any =
      LivingPid(folders.agent_pid_file) != 0 || LivingPid(folders.scheduler_pid_file) != 0;
  absl::Status status = StopDaemon(folders.agent_pid_file, patience);
  status.Update(StopDaemon(folders.scheduler_pid_file, patience));
  if (!status.ok()) return status;
  if (any) unlink(JoinPath(folders.state, "endpoint.json").c_str());
  return any;
}

}  // namespace trainyard::cli
