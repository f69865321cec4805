// See local_run.h.
#include "client/cli/local_run.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/embedded.h"
#include "client/cli/log_files.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/python.h"
#include "worker/core/launch_build.h"
#include "worker/core/launch_spec.h"

extern char** environ;  // NOLINT: POSIX's own name

namespace trainyard::cli {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kPoll = absl::Milliseconds(10);
constexpr int64_t kGraceMs = 10000;

// The supervisor while it runs, for the signal handler.
std::atomic<pid_t> running_supervisor{0};
std::atomic<int> ended_by{0};  // the signal that asked for the end

void OnInterrupt(int number) {
  ended_by = number;
  const pid_t pid = running_supervisor.load();
  if (pid > 0) kill(pid, SIGTERM);
}

absl::StatusOr<std::string> MakeAttemptFolder(const client::Environment& environment) {
  std::string base = environment("TMPDIR");
  if (base.empty()) base = "/tmp";
  std::string path = JoinPath(base, "trainyard-local-XXXXXX");
  if (mkdtemp(path.data()) == nullptr) return ErrnoError(errno, "cannot make a folder in", base);
  return path;
}

// A port that was free a moment ago on the loopback.
int FreePort() {
  const FileDescriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return 0;
  }
  return ntohs(address.sin_port);
}

absl::Status Link(const std::string& target, const std::string& name) {
  if (symlink(target.c_str(), name.c_str()) != 0) return ErrnoError(errno, "cannot link", name);
  return absl::OkStatus();
}

// Folders of the attempt; work is the package's root, job_dir the user's own when it is local.
absl::Status FillFolder(const std::string& folder, const LocalRun& run) {
  std::error_code error;
  for (const std::string& name : worker::AttemptFolders()) {
    absl::Status status;
    if (name == worker::layout::kWork) {
      const std::string root =
          run.package_roots.empty() ? fs::current_path(error).string() : run.package_roots[0];
      status = Link(root, JoinPath(folder, name));
    } else if (name == worker::layout::kJobDir && !run.job_dir.empty() &&
               !absl::StrContains(run.job_dir, "://")) {
      status = MakeFolders(run.job_dir);
      if (status.ok()) {
        status = Link(fs::absolute(run.job_dir, error).string(), JoinPath(folder, name));
      }
    } else {
      status = MakeFolders(JoinPath(folder, name), 0700);
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

agent::v1::Assignment AssignmentOf(const LocalRun& run) {
  agent::v1::Assignment assignment;
  assignment.mutable_key()->set_epoch(1);
  assignment.set_project("local");
  assignment.set_job_id("local");
  *assignment.mutable_program() = run.program;
  assignment.mutable_launch()->set_launcher(run.launcher);
  assignment.set_world_size(run.ranks);
  for (int i = 0; i < run.ranks; ++i) {
    agent::v1::RankSlot* slot = assignment.add_ranks();
    slot->set_rank(i);
    slot->set_local_rank(i);
    slot->set_task_type(i == 0 ? "master" : "worker");
    slot->set_task_index(i == 0 ? 0 : i - 1);
  }
  assignment.set_job_dir(run.job_dir);
  assignment.set_pass_job_dir(!run.job_dir.empty());
  assignment.set_grace_ms(kGraceMs);
  return assignment;
}

absl::StatusOr<worker::LaunchSpec> SpecOf(Context* context, const std::string& folder,
                                          const LocalRun& run) {
  worker::LaunchContext launch;
  launch.folder = folder;
  launch.bin_folder = context->binary_folder;
  launch.python_path = PythonPath(context->binary_folder);
  launch.training_library = TrainingLibrary(context->binary_folder);
  launch.package_paths = run.package_roots;
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) variables.push_back(*variable);
  launch.base_env = worker::AllowedEnvironment(variables);
  launch.node_id = "local";
  launch.cores = static_cast<int32_t>(std::max(1U, std::thread::hardware_concurrency()));
  launch.master_port = FreePort();
  launch.python = PreferredPython();
  return worker::BuildLaunchSpec(AssignmentOf(run), launch);
}

absl::StatusOr<pid_t> StartSupervisor(const std::string& program, const std::string& folder) {
  const std::string log = JoinPath(folder, "log/supervisor.err");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  std::string name = program;
  std::string argument = folder;
  char* const argv[] = {name.data(), argument.data(), nullptr};
  pid_t pid = -1;
  const int error = posix_spawn(&pid, program.c_str(), &actions, &attributes, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error == 0) return pid;
  return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                   absl::StrCat("cannot start ", program, ": ",
                                std::error_code(error, std::generic_category()).message()),
                   "build or install all programs into one folder");
}

// Forwards the logs until the supervisor has ended.
void Follow(Console* console, const std::string& folder, int ranks, pid_t pid) {
  LogFiles logs(console, folder, ranks);
  running_supervisor = pid;
  // Whoever ends us ends the program: Ctrl-C, a service manager, a terminal that closes.
  constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
  sighandler_t previous[3] = {};
  for (size_t i = 0; i < 3; ++i) previous[i] = signal(kSignals[i], OnInterrupt);
  int status = 0;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (!logs.Forward()) absl::SleepFor(kPoll);
  }
  running_supervisor = 0;
  for (size_t i = 0; i < 3; ++i) signal(kSignals[i], previous[i]);
  while (logs.Forward()) {
  }
  logs.Finish();
}

absl::Status VerdictOf(const std::string& folder) {
  const absl::StatusOr<std::string> text = ReadFile(JoinPath(folder, worker::layout::kExit));
  worker::ExitReport report;
  std::string error = "no exit record";
  if (!text.ok() || !worker::ExitReportFromJson(*text, &report, &error)) {
    return MakeError(absl::StatusCode::kInternal, "INTERNAL",
                     absl::StrCat("the supervisor left no verdict (", error, "): ",
                                  ReadFile(JoinPath(folder, "log/supervisor.err")).value_or("")),
                     "try again; trainyard doctor looks closer");
  }
  if (report.cause.empty()) return absl::OkStatus();
  std::string message = report.message.empty() ? "the program failed" : report.message;
  // As the cluster's agents say it.
  const bool says_more =
      !report.reason.empty() && report.reason != "PROGRAM_FAILED" && report.reason != report.cause;
  if (says_more) message = absl::StrCat(report.reason, ": ", message);
  absl::StrAppend(&message, "\n  where: ", report.cause);
  if (report.rank >= 0) absl::StrAppend(&message, ", rank ", report.rank);
  if (report.signal != 0) absl::StrAppend(&message, ", signal ", report.signal);
  if (report.signal == 0 && report.exit_code != 0) {
    absl::StrAppend(&message, ", exit code ", report.exit_code);
  }
  return MakeError(absl::StatusCode::kAborted,
                   report.reason.empty() ? "PROGRAM_FAILED" : report.reason, message,
                   "the program's own output is above");
}

bool HasFiles(const std::string& folder) {
  const auto names = ListFolder(folder);
  return names.ok() && !names->empty();
}

// Says where outputs lie, or removes the folder when there are none.
void KeepOutputs(Context* context, const std::string& folder) {
  std::string kept;
  for (const char* name : {worker::layout::kModel, worker::layout::kCheckpoints,
                           worker::layout::kTensorboard, worker::layout::kJobDir}) {
    const std::string path = JoinPath(folder, name);
    std::error_code error;
    if (fs::is_symlink(path, error)) continue;  // the user's own folder
    if (HasFiles(path)) absl::StrAppend(&kept, kept.empty() ? "" : " ", path);
  }
  if (kept.empty()) {
    (void)RemoveTree(folder);
  } else if (!context->quiet) {
    context->console().ErrLine(absl::StrCat("outputs: ", kept));
  }
}

}  // namespace

absl::Status RunLocally(Context* context, const LocalRun& run) {
  const absl::StatusOr<std::string> folder = MakeAttemptFolder(context->environment());
  if (!folder.ok()) return folder.status();
  if (absl::Status status = FillFolder(*folder, run); !status.ok()) return status;
  const absl::StatusOr<worker::LaunchSpec> spec = SpecOf(context, *folder, run);
  if (!spec.ok()) return spec.status();
  absl::Status status = WriteFileAtomically(JoinPath(*folder, worker::layout::kLaunch),
                                            worker::LaunchSpecToJson(*spec), 0600);
  if (!status.ok()) return status;
  const absl::StatusOr<pid_t> pid =
      StartSupervisor(JoinPath(context->binary_folder, "trainyard-supervisor"), *folder);
  if (!pid.ok()) return pid.status();
  Follow(&context->console(), *folder, run.ranks, *pid);
  status = VerdictOf(*folder);
  KeepOutputs(context, *folder);
  if (const int number = ended_by; number != 0) {  // the program has ended; so do we, as asked
    context->console().Flush();
    kill(getpid(), number);
  }
  return status;
}

}  // namespace trainyard::cli
