// See daemon.h.
#include "client/cli/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/file.h"

namespace trainyard::cli {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(20);
// Fields of /proc/PID/stat after the command's ")": state is the first, start time the 20th.
constexpr size_t kStateField = 0;
constexpr size_t kStartTimeField = 19;

// Start time of a living process in clock ticks since boot, 0 when there is none (or a zombie).
uint64_t StartTimeOf(pid_t pid) {
  const absl::StatusOr<std::string> stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  if (!stat.ok()) return 0;
  const size_t end = stat->rfind(')');
  if (end == std::string::npos || end + 2 > stat->size()) return 0;
  const std::vector<std::string> fields = absl::StrSplit(stat->substr(end + 2), ' ');
  uint64_t start = 0;
  if (fields.size() <= kStartTimeField || fields[kStateField] == "Z" ||
      !absl::SimpleAtoi(fields[kStartTimeField], &start)) {
    return 0;
  }
  return start;
}

// In the child, between fork and exec: only async-signal-safe calls.
[[noreturn]] void BecomeDaemon(const char* program, char* const* argv, int log, int null) {
  setsid();
  dup2(null, STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  close_range(3, ~0U, 0);
  signal(SIGINT, SIG_DFL);
  signal(SIGPIPE, SIG_DFL);
  execv(program, argv);
  _exit(127);
}

}  // namespace

pid_t LivingPid(const std::string& pid_file) {
  const absl::StatusOr<std::string> text = ReadFile(pid_file);
  if (!text.ok()) return 0;
  std::istringstream in(*text);
  pid_t pid = 0;
  uint64_t start = 0;
  if (!(in >> pid >> start) || pid <= 1 || start == 0) return 0;
  return StartTimeOf(pid) == start ? pid : 0;
}

absl::StatusOr<pid_t> StartDaemon(const DaemonSpec& spec) {
  if (access(spec.program.c_str(), X_OK) != 0) {
    return absl::NotFoundError(absl::StrCat("there is no program ", spec.program));
  }
  const FileDescriptor log(
      open(spec.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log.valid()) return ErrnoError(errno, "cannot open", spec.log_file);
  const FileDescriptor null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  std::vector<std::string> words = {spec.program};
  words.insert(words.end(), spec.arguments.begin(), spec.arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid < 0) return ErrnoError(errno, "cannot fork");
  if (pid == 0) BecomeDaemon(spec.program.c_str(), argv.data(), log.get(), null.get());
  const absl::Status status =
      WriteFileAtomically(spec.pid_file, absl::StrCat(pid, " ", StartTimeOf(pid), "\n"), 0600);
  if (!status.ok()) return status;
  return pid;
}

std::string HowItEnded(pid_t pid) {
  int status = 0;
  if (waitpid(pid, &status, WNOHANG) != pid) return "";
  if (WIFSIGNALED(status)) return absl::StrCat("signal ", WTERMSIG(status));
  return absl::StrCat("exit code ", WEXITSTATUS(status));
}

absl::Status StopDaemon(const std::string& pid_file, absl::Duration patience) {
  const pid_t pid = LivingPid(pid_file);
  if (pid == 0) return absl::OkStatus();
  if (kill(pid, SIGTERM) != 0 && errno != ESRCH) return ErrnoError(errno, "cannot stop", pid_file);
  const absl::Time deadline = absl::Now() + patience;
  while (LivingPid(pid_file) != 0) {
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(absl::StrCat("process ", pid, " does not stop"));
    }
    absl::SleepFor(kPoll);
  }
  unlink(pid_file.c_str());
  return absl::OkStatus();
}

std::string LastOfLog(const std::string& path, size_t bytes_max, size_t from) {
  std::string text = ReadFile(path).value_or("");
  text.erase(0, std::min(from, text.size()));
  if (text.size() > bytes_max) text = text.substr(text.size() - bytes_max);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace trainyard::cli
