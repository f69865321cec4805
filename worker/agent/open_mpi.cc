// See open_mpi.h.
#include "worker/agent/open_mpi.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/str_split.h"
#include "common/file.h"

namespace trainyard::worker {
namespace {

constexpr int kAnswerMillis = 5000;
constexpr size_t kAnswerBytesMax = 4096;

// The first executable `name` in the folders of `path`.
std::string Find(const std::string& name, const std::string& path) {
  if (name.find('/') != std::string::npos) return name;
  for (const std::string& folder : std::vector<std::string>(absl::StrSplit(path, ':'))) {
    const std::string full = JoinPath(folder, name);
    if (!folder.empty() && folder[0] == '/' && access(full.c_str(), X_OK) == 0) return full;
  }
  return "";
}

// What `program --version` writes to its standard output.
std::string AskVersion(const std::string& program) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return "";
  const FileDescriptor read_end(ends[0]);
  FileDescriptor write_end(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, write_end.get(), 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  std::string word = program;
  std::string version = "--version";
  char* const argv[] = {word.data(), version.data(), nullptr};
  pid_t pid = -1;
  const int error = posix_spawn(&pid, program.c_str(), &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  write_end = FileDescriptor();
  if (error != 0) return "";
  std::string text;
  char buffer[1024];
  pollfd wait{read_end.get(), POLLIN, 0};
  while (text.size() < kAnswerBytesMax && poll(&wait, 1, kAnswerMillis) > 0) {
    const ssize_t n = read(read_end.get(), buffer, sizeof buffer);
    if (n <= 0) break;
    text.append(buffer, static_cast<size_t>(n));
  }
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  return text;
}

}  // namespace

std::string OpenMpiVersion(const std::string& text) {
  static constexpr char kMark[] = "(Open MPI) ";
  const size_t at = text.find(kMark);
  if (at == std::string::npos) return "";
  const size_t start = at + sizeof kMark - 1;
  return text.substr(start, text.find_first_of(" \r\n", start) - start);
}

OpenMpi FindOpenMpi(const std::string& mpirun, const Environment& env) {
  OpenMpi found;
  const auto path = env.find("PATH");
  const std::string folders = path == env.end() ? "/usr/local/bin:/usr/bin:/bin" : path->second;
  const std::string program = Find(mpirun, folders);
  if (program.empty()) return found;
  found.version = OpenMpiVersion(AskVersion(program));
  if (found.version.empty()) return found;
  found.major = atoi(found.version.c_str());
  const std::string name = found.major >= 5 ? "prted" : "orted";
  // Beside mpirun where it is, else beside what that is a link to, else in the PATH.
  char* const real = realpath(program.c_str(), nullptr);
  for (const std::string& beside : {program, std::string(real == nullptr ? "" : real)}) {
    const size_t slash = beside.rfind('/');
    if (slash == std::string::npos || !found.daemon.empty()) continue;
    const std::string daemon = beside.substr(0, slash + 1) + name;
    if (access(daemon.c_str(), X_OK) == 0) found.daemon = daemon;
  }
  free(real);
  if (found.daemon.empty()) found.daemon = Find(name, folders);
  return found;
}

}  // namespace trainyard::worker
