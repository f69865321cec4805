// See process.h.
#include "tests/integration/cluster/process.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "tests/integration/cluster/wait.h"

extern char** environ;

namespace trainyard::testing {
namespace {

std::vector<char*> Pointers(std::vector<std::string>* words) {
  std::vector<char*> pointers;
  for (std::string& word : *words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Our environment with `more` in front of what has the same name.
std::vector<std::string> Environment(const std::vector<std::string>& more) {
  std::vector<std::string> all = more;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string one = *at;
    const std::string name = one.substr(0, one.find('=') + 1);
    const bool replaced = std::any_of(more.begin(), more.end(), [&](const std::string& own) {
      return absl::StartsWith(own, name);
    });
    if (!replaced) all.push_back(one);
  }
  return all;
}

void Redirect(const std::string& path, int to) {
  if (path.empty()) return;
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (fd < 0 || dup2(fd, to) < 0) _exit(126);
  close(fd);
}

void EnterNetwork(const std::string& name) {
  if (name.empty()) return;
  const int fd = open(JoinPath("/run/netns", name).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) _exit(125);
}

int CodeOf(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

std::string ProcFile(pid_t pid, absl::string_view name) {
  return absl::StrCat("/proc/", pid, "/", name);
}

std::string LinkOf(const std::string& path) {
  char target[4096];
  const ssize_t n = readlink(path.c_str(), target, sizeof target);
  return n > 0 ? std::string(target, static_cast<size_t>(n)) : std::string();
}

// State and parent, from what follows the name in parentheses.
bool ReadStat(pid_t pid, Found* found) {
  const auto text = ReadFile(ProcFile(pid, "stat"));
  if (!text.ok()) return false;
  const size_t close = text->rfind(')');
  if (close == std::string::npos) return false;
  const std::vector<std::string> fields = absl::StrSplit(text->substr(close + 2), ' ');
  if (fields.size() < 2 || !absl::SimpleAtoi(fields[1], &found->parent)) return false;
  found->state = fields[0][0];
  return true;
}

bool Belongs(pid_t pid, absl::string_view folder, Found* found) {
  const std::string command = ReadFile(ProcFile(pid, "cmdline")).value_or("");
  found->command = absl::StrReplaceAll(command, {{std::string(1, '\0'), " "}});
  const std::string program = LinkOf(ProcFile(pid, "exe"));
  found->name = program.substr(program.rfind('/') + 1);
  return absl::StrContains(command, folder) ||
         absl::StrContains(ReadFile(ProcFile(pid, "environ")).value_or(""), folder) ||
         absl::StartsWith(LinkOf(ProcFile(pid, "cwd")), folder);
}

}  // namespace

Process::Process(const Command& command) {
  std::vector<std::string> words = command.words;
  std::vector<std::string> env = Environment(command.env);
  const std::vector<char*> argv = Pointers(&words);
  const std::vector<char*> envp = Pointers(&env);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(124);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  EnterNetwork(command.network);
  Redirect(command.out, 1);
  Redirect(command.errors, 2);
  execvpe(argv[0], argv.data(), envp.data());
  _exit(127);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), status_(std::exchange(other.status_, {})) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this == &other) return *this;
  Kill();
  pid_ = std::exchange(other.pid_, -1);
  status_ = std::exchange(other.status_, {});
  return *this;
}

void Process::Signal(int signal) const {
  if (pid_ > 0 && !status_.has_value()) kill(pid_, signal);
}

void Process::Kill() {
  if (pid_ <= 0 || status_.has_value()) return;
  kill(pid_, SIGKILL);
  int status = 0;
  waitpid(pid_, &status, 0);
  status_ = CodeOf(status);
}

int Process::Stop(absl::Duration limit) {
  Signal(SIGTERM);
  return Await(limit);
}

std::optional<int> Process::Ended() {
  int status = 0;
  if (pid_ > 0 && !status_.has_value() && waitpid(pid_, &status, WNOHANG) == pid_) {
    status_ = CodeOf(status);
  }
  return status_;
}

int Process::Await(absl::Duration limit) {
  if (Within(limit, [this] { return pid_ <= 0 || Ended().has_value(); })) {
    return status_.value_or(-1);
  }
  Kill();
  return -1;
}

int RunToEnd(const Command& command) { return Process(command).Await(); }

std::vector<Found> ProcessesOf(absl::string_view folder) {
  std::vector<Found> all;
  const auto names = ListFolder("/proc");
  if (!names.ok()) return all;
  for (const std::string& name : *names) {
    Found found;
    if (!absl::SimpleAtoi(name, &found.pid) || found.pid == getpid()) continue;
    if (!Belongs(found.pid, folder, &found) || !ReadStat(found.pid, &found)) continue;
    if (found.state != 'Z' && found.state != 'X') all.push_back(found);
  }
  return all;
}

std::vector<pid_t> PidsOf(absl::string_view folder, absl::string_view name) {
  std::vector<pid_t> pids;
  for (const Found& found : ProcessesOf(folder)) {
    if (found.name == name) pids.push_back(found.pid);
  }
  std::sort(pids.begin(), pids.end());
  return pids;
}

bool IsAlive(pid_t pid) {
  Found found;
  return pid > 0 && ReadStat(pid, &found) && found.state != 'Z' && found.state != 'X';
}

}  // namespace trainyard::testing
