// See process.h.
#include "worker/supervisor/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <map>

#include "worker/supervisor/files.h"

namespace trainyard::worker {
namespace {

// What the vfork child needs, prepared by the parent: the child allocates nothing.
struct Prepared {
  const char* path;
  char* const* argv;
  char* const* envp;
  const char* folder;
  const char* output_path;
  const char* error_path;
  int64_t user_id;
  int64_t group_id;
  volatile int error = 0;
  const char* volatile step = "";
};

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

bool Redirect(const char* path, int flags, int to) {
  if (*path == '\0') return true;
  const int fd = open(path, flags, 0600);
  if (fd < 0) return false;
  if (fd == to) return true;
  const bool ok = dup2(fd, to) >= 0;
  close(fd);
  return ok;
}

bool BecomeUser(const Prepared& child) {
  if (child.group_id >= 0) {
    const gid_t group = static_cast<gid_t>(child.group_id);
    if (setgroups(1, &group) != 0 || setgid(group) != 0) return false;
  }
  return child.user_id < 0 || setuid(static_cast<uid_t>(child.user_id)) == 0;
}

// Runs in the child, on the parent's memory, until exec.
[[noreturn]] void RunChild(Prepared* child) {
  for (int number = 1; number < 32; ++number) {
    if (number != SIGKILL && number != SIGSTOP) signal(number, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setpgid(0, 0);
  constexpr int kAppend = O_WRONLY | O_CREAT | O_APPEND;
  child->step = "open";
  bool ok = Redirect("/dev/null", O_RDONLY, 0) && Redirect(child->output_path, kAppend, 1) &&
            Redirect(child->error_path, kAppend, 2);
  if (ok) {
    child->step = "setuid";
    // After the change of user, which clears it: what outlives its supervisor belongs to nobody.
    ok = BecomeUser(*child) && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
  }
  if (ok) {
    child->step = "chdir";
    ok = *child->folder == '\0' || chdir(child->folder) == 0;
  }
  if (ok) {
    child->step = "exec";
    execve(child->path, child->argv, child->envp);
  }
  child->error = errno;
  _exit(127);
}

// Apart from its caller, so that no local variable lives across vfork's two returns.
[[gnu::noinline]] pid_t ForkChild(Prepared* child) {
  const pid_t pid = vfork();
  if (pid == 0) RunChild(child);
  return pid;
}

bool IsExecutable(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && access(path.c_str(), X_OK) == 0;
}

// Parent of every process on the machine.
std::map<pid_t, pid_t> ParentsOfAll() {
  std::map<pid_t, pid_t> parents;
  DIR* const folder = opendir("/proc");
  if (folder == nullptr) return parents;
  while (const dirent* entry = readdir(folder)) {
    const int pid = atoi(entry->d_name);
    std::string stat;
    if (pid <= 0 || !ReadWhole(std::string("/proc/") + entry->d_name + "/stat", 4096, &stat)) {
      continue;
    }
    const size_t bracket = stat.rfind(')');  // ") S PPID ..."
    if (bracket != std::string::npos && bracket + 4 < stat.size()) {
      parents[pid] = atoi(stat.c_str() + bracket + 4);
    }
  }
  closedir(folder);
  return parents;
}

}  // namespace

StartedProcess StartProcess(const ProcessSpec& spec) {
  std::vector<std::string> texts;
  texts.reserve(spec.env.size());
  for (const auto& [name, value] : spec.env) texts.push_back(name + "=" + value);
  const std::vector<char*> envp = Pointers(texts);
  const std::vector<char*> argv = Pointers(spec.argv);
  Prepared child{spec.path.c_str(),
                 argv.data(),
                 envp.data(),
                 spec.folder.c_str(),
                 spec.output_path.c_str(),
                 spec.error_path.c_str(),
                 spec.user_id,
                 spec.group_id};
  StartedProcess started;
  started.pid = ForkChild(&child);
  if (started.pid < 0) {
    started.error = errno;
    started.step = "fork";
  } else if (child.error != 0) {
    waitpid(started.pid, nullptr, 0);
    started = {-1, child.error, child.step};
  }
  return started;
}

bool AwaitEnd(pid_t pid, int pidfd, int millis) {
  constexpr int kLookMillis = 10;
  const int64_t until = MonotonicMillis() + millis;
  while (true) {
    siginfo_t ended{};
    const int looked = waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOHANG | WNOWAIT);
    if (looked == 0 && ended.si_pid == pid) return true;
    if (looked != 0 && errno == ECHILD) return true;
    const int64_t left = until - MonotonicMillis();
    if (left <= 0) return false;
    pollfd wanted{pidfd, POLLIN, 0};
    const int64_t wait = pidfd >= 0 || left < kLookMillis ? left : kLookMillis;
    poll(&wanted, pidfd >= 0 ? 1 : 0, static_cast<int>(wait));
  }
}

std::string FindProgram(const std::string& program, const Environment& env) {
  if (program.find('/') != std::string::npos) return program;
  const auto found = env.find("PATH");
  const std::string path = found == env.end() ? "/usr/local/bin:/usr/bin:/bin" : found->second;
  for (size_t start = 0; start <= path.size();) {
    size_t end = path.find(':', start);
    if (end == std::string::npos) end = path.size();
    const std::string folder = path.substr(start, end - start);
    // An empty or relative entry would mean the program's own folder: never looked into.
    if (!folder.empty() && folder[0] == '/' && IsExecutable(folder + "/" + program)) {
      return folder + "/" + program;
    }
    start = end + 1;
  }
  return "";
}

std::vector<pid_t> Descendants() {
  const std::map<pid_t, pid_t> parents = ParentsOfAll();
  const pid_t self = getpid();
  std::vector<pid_t> out;
  for (const auto& [pid, parent] : parents) {
    pid_t at = parent;
    for (int depth = 0; at > 1 && at != self && depth < 256; ++depth) {
      const auto next = parents.find(at);
      at = next == parents.end() ? 0 : next->second;
    }
    if (at == self) out.push_back(pid);
  }
  return out;
}

int KillDescendants(int millis_max) {
  int signalled = 0;
  const int64_t deadline = MonotonicMillis() + millis_max;
  for (;;) {
    pid_t reaped = 0;
    while ((reaped = waitpid(-1, nullptr, WNOHANG)) > 0) {
    }
    if (reaped < 0 && errno == ECHILD) return signalled;
    if (MonotonicMillis() > deadline) return signalled;
    for (pid_t pid : Descendants()) signalled += kill(pid, SIGKILL) == 0 ? 1 : 0;
    const timespec pause{0, 2000000};
    nanosleep(&pause, nullptr);
  }
}

}  // namespace trainyard::worker
