// See keeper.h.
#include "worker/supervisor/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/supervisor/files.h"
#include "worker/supervisor/process.h"

namespace trainyard::worker {
namespace {

constexpr size_t kLogBytes = 64 << 10;
constexpr int kKillMillis = 5000;

bool ReadNumber(const std::string& word, int64_t* number) {
  char* end = nullptr;
  errno = 0;
  *number = strtoll(word.c_str(), &end, 10);
  return errno == 0 && end != word.c_str() && *end == '\0';
}

Environment OwnEnvironment() {
  Environment env;
  for (char** at = environ; *at != nullptr; ++at) {
    const char* const equals = strchr(*at, '=');
    if (equals != nullptr) env[std::string(*at, static_cast<size_t>(equals - *at))] = equals + 1;
  }
  return env;
}

class Keeper {
 public:
  explicit Keeper(const KeeperSpec& spec) : spec_(spec) {}
  ~Keeper() {
    for (const int fd : {signals_, read_end_, write_end_}) {
      if (fd >= 0) close(fd);
    }
  }

  int Run() {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigset_t caught;
    sigemptyset(&caught);
    for (const int number : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&caught, number);
    sigprocmask(SIG_BLOCK, &caught, nullptr);
    signals_ = signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    int ends[2];
    if (signals_ < 0 || pipe2(ends, O_CLOEXEC) != 0) return Fail("prepare", errno);
    read_end_ = ends[0];
    write_end_ = ends[1];
    fcntl(read_end_, F_SETFL, O_NONBLOCK);
    if (getppid() != spec_.parent) return Fail("begin: who started it is gone", 0);
    if (const int status = Start(); status != 0) return status;
    Wait();
    KillDescendants(kKillMillis);
    ReadOutput();
    WriteLog();
    return WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
  }

 private:
  int Fail(const std::string& what, int error) {
    output_ = "cannot " + what + (error == 0 ? "" : std::string(": ") + strerror(error)) + "\n";
    WriteLog();
    return kKeeperFailed;
  }

  int Start() {
    ProcessSpec program;
    program.path = spec_.argv[0];
    program.argv = spec_.argv;
    program.env = OwnEnvironment();
    program.folder.assign(1, '/');  // GCC 12 warns without reason of = "/"
    program.output_path = program.error_path = "/proc/self/fd/" + std::to_string(write_end_);
    program.user_id = spec_.user_id;
    program.group_id = spec_.group_id;
    const StartedProcess started = StartProcess(program);
    close(write_end_);
    write_end_ = -1;
    if (started.pid < 0) {
      return Fail("start " + spec_.argv[0] + " (" + started.step + ")", started.error);
    }
    pid_ = started.pid;
    return 0;
  }

  // Until the program has ended or somebody wants its end.
  void Wait() {
    while (true) {
      pollfd wanted[2] = {{signals_, POLLIN, 0}, {read_end_, POLLIN, 0}};
      if (poll(wanted, 2, -1) < 0 && errno != EINTR) return;
      if (wanted[1].revents != 0) ReadOutput();
      signalfd_siginfo told;
      while (read(signals_, &told, sizeof told) == sizeof told) {
        if (told.ssi_signo == SIGCHLD) continue;
        status_ = static_cast<int>(told.ssi_signo);  // as if that had ended the program
        return;
      }
      int status = 0;
      for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (ended != pid_) continue;
        status_ = status;
        return;
      }
    }
  }

  void ReadOutput() {
    if (read_end_ < 0) return;
    char buffer[16384];
    ssize_t n = 0;
    while ((n = read(read_end_, buffer, sizeof buffer)) > 0) {
      output_.append(buffer, static_cast<size_t>(n));
      if (output_.size() > 2 * kLogBytes) output_.erase(0, output_.size() - kLogBytes);
    }
    if (n < 0) return;
    close(read_end_);  // nobody writes any more
    read_end_ = -1;
  }

  void WriteLog() {
    const int fd = open(spec_.log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return;
    if (output_.size() > kLogBytes) output_.erase(0, output_.size() - kLogBytes);
    WriteFully(fd, output_);
    close(fd);
  }

  const KeeperSpec& spec_;
  int signals_ = -1;
  int read_end_ = -1;
  int write_end_ = -1;
  pid_t pid_ = -1;
  int status_ = 0;
  std::string output_;
};

}  // namespace

std::vector<std::string> KeeperWords(const KeeperSpec& spec) {
  std::vector<std::string> words = {kKeepWord, std::to_string(spec.parent),
                                    std::to_string(spec.user_id), std::to_string(spec.group_id),
                                    spec.log};
  words.insert(words.end(), spec.argv.begin(), spec.argv.end());
  return words;
}

bool ParseKeeperWords(const std::vector<std::string>& words, KeeperSpec* spec) {
  int64_t parent = 0;
  if (words.size() < 6 || words[0] != kKeepWord || !ReadNumber(words[1], &parent) ||
      !ReadNumber(words[2], &spec->user_id) || !ReadNumber(words[3], &spec->group_id) ||
      words[4].empty() || words[4][0] != '/' || words[5].empty() || words[5][0] != '/') {
    return false;
  }
  spec->parent = static_cast<pid_t>(parent);
  spec->log = words[4];
  spec->argv.assign(words.begin() + 5, words.end());
  return true;
}

int RunKeeper(const KeeperSpec& spec) { return Keeper(spec).Run(); }

}  // namespace trainyard::worker
