// trainyard-rank [-- PROGRAM ARGS...]: stands between mpirun and one rank. It sends the rank's
// output to its own log files, enters the rank's environment, registers with the supervisor, runs
// the program as its child and tells the supervisor when and how it ended, which mpirun does not
// say exactly. Then it ends the same way. Without a program it reads the one of its node from the
// attempt folder: a gang's nodes may have different paths.
//   launch-agent HOST WORDS...: under that name it is what mpirun runs in place of a remote shell.
// It hands the words to the supervisor and ends; the daemon comes to life by another way.
// One thread; a few system calls.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "worker/rank/rank.h"

namespace trainyard::worker {
namespace {

constexpr int kRefused = 143;  // as a program ended by SIGTERM

const char* Get(const char* name) { return getenv(name); }

bool ReadTable(const std::string& path, std::string* bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  char buffer[16384];
  ssize_t n = 0;
  while ((n = read(fd, buffer, sizeof buffer)) > 0) bytes->append(buffer, static_cast<size_t>(n));
  close(fd);
  return n == 0;
}

bool Redirect(const std::string& path, int to) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const bool ok = dup2(fd, to) >= 0;
  close(fd);
  return ok;
}

// A connection to the supervisor, -1 when there is none.
int Connect() {
  const char* const path = getenv("TRAINYARD_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path == nullptr || strlen(path) >= sizeof address.sun_path) return -1;
  memcpy(address.sun_path, path, strlen(path));
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

// Sends one line and waits for the answer's line. False when the supervisor is gone.
bool Ask(int fd, const std::string& line, std::string* answer) {
  if (send(fd, line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) {
    return false;
  }
  char byte = 0;
  while (recv(fd, &byte, 1, 0) == 1) {
    if (byte == '\n') return true;
    *answer += byte;
  }
  return false;
}

// The child: registers itself, then becomes the program.
[[noreturn]] void RunProgram(int32_t rank, char** argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::string answer;
  const int fd = Connect();
  if (fd < 0 || !Ask(fd, HelloLine(rank, getpid()), &answer)) {
    fprintf(stderr, "trainyard-rank: rank %d finds no supervisor at TRAINYARD_SOCKET\n", rank);
    _exit(kRefused);
  }
  if (answer.find("\"ok\":true") == std::string::npos) _exit(kRefused);
  execvp(argv[0], argv);
  const int error = errno;
  Ask(fd, ExecFailedLine(rank, error, argv[0]), &answer);
  _exit(127);
}

int64_t MonotonicNanos() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

[[noreturn]] void EndAs(int status) {
  if (WIFSIGNALED(status)) {
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);  // the program has left its own
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
    _exit(128 + WTERMSIG(status));
  }
  _exit(WEXITSTATUS(status));
}

// mpirun's launch agent.
int HandOver(const std::string& host, const std::vector<std::string>& words) {
  const int fd = Connect();
  std::string answer;
  if (fd < 0 || !Ask(fd, SpawnLine(host, words), &answer)) {
    fprintf(stderr, "trainyard-rank: no supervisor to start a daemon on %s\n", host.c_str());
    return 1;
  }
  if (answer.find("\"ok\":true") != std::string::npos) return 0;
  fprintf(stderr, "trainyard-rank: no daemon on %s: %s\n", host.c_str(), answer.c_str());
  return 1;
}

// Of this node: an absolute path and its arguments. They stay for the life of the process.
char** OwnProgram(const std::string& base) {
  static std::vector<std::string> words;
  static std::vector<char*> argv;
  std::string bytes;
  if (ReadTable(base + "/ranks/argv", &bytes)) words = ParseWords(bytes);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  return argv.data();
}

int Run(char** program) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // mpirun gone: nobody would end this rank
  const char* const folder = getenv("TRAINYARD_ATTEMPT_DIR");
  const int32_t rank = ParseRank(getenv("OMPI_COMM_WORLD_RANK"));
  if (folder == nullptr || rank < 0) {
    fprintf(stderr, "trainyard-rank runs under mpirun, started by trainyard-supervisor\n");
    return 2;
  }
  const std::string base = folder;
  const std::string name = "rank-" + std::to_string(rank);
  std::string table;
  if (!ReadTable(base + "/ranks/" + name + ".env", &table) ||
      !Redirect(base + "/log/" + name + ".out", 1) ||
      !Redirect(base + "/log/" + name + ".err", 2)) {
    fprintf(stderr, "trainyard-rank: rank %d cannot open its files in %s: %s\n", rank, folder,
            strerror(errno));
    return 2;
  }
  for (const auto& [key, value] : FromOpenMpi(Get)) setenv(key.c_str(), value.c_str(), 1);
  for (const auto& [key, value] : ParseTable(table)) setenv(key.c_str(), value.c_str(), 1);
  unsetenv("TRAINYARD_ATTEMPT_DIR");
  if (program == nullptr) {
    program = OwnProgram(base);
    if (program[0] == nullptr || chdir((base + "/work").c_str()) != 0) {
      fprintf(stderr, "trainyard-rank: rank %d finds no program in %s\n", rank, base.c_str());
      return 2;
    }
    setenv("PWD", (base + "/work").c_str(), 1);
  }
  const pid_t child = fork();
  if (child == 0) RunProgram(rank, program);
  if (child < 0) {
    fprintf(stderr, "trainyard-rank: cannot fork: %s\n", strerror(errno));
    return 2;
  }
  // mpirun signals the whole group: the program decides, we only report.
  for (int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) signal(number, SIG_IGN);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  const int64_t ended = MonotonicNanos();
  std::string answer;
  const int fd = Connect();
  if (fd >= 0) Ask(fd, ExitedLine(rank, status, ended), &answer);
  EndAs(status);
}

}  // namespace
}  // namespace trainyard::worker

int main(int argc, char** argv) {
  const char* const slash = strrchr(argv[0], '/');
  if (strcmp(slash == nullptr ? argv[0] : slash + 1, "launch-agent") == 0 && argc > 2) {
    return trainyard::worker::HandOver(argv[1], {argv + 2, argv + argc});
  }
  if (argc == 1) return trainyard::worker::Run(nullptr);
  if (argc < 3 || strcmp(argv[1], "--") != 0) {
    fprintf(stderr, "usage: trainyard-rank [-- PROGRAM [ARGS...]]\n");
    return 2;
  }
  return trainyard::worker::Run(argv + 2);
}
