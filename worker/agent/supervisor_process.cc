// See supervisor_process.h.
#include "worker/agent/supervisor_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "worker/core/launch_spec.h"

namespace trainyard::worker {
namespace {

// The agent's loop waits so long: a supervisor that hangs must not cost the agent its own lease.
constexpr int kAnswerMicros = 200'000;

// posix_spawn's two records, freed with the object.
struct SpawnSettings {
  SpawnSettings() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

FileDescriptor Connect(const std::string& folder) {
  // A socket's address is at most 107 bytes: the folder is reached through a descriptor.
  FileDescriptor directory(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return FileDescriptor();
  const std::string path =
      absl::StrCat("/proc/self/fd/", directory.get(), "/", layout::kControlSocket);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path.data(), path.size());
  FileDescriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{0, kAnswerMicros};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return FileDescriptor();
  }
  return fd;
}

}  // namespace

absl::StatusOr<SupervisorProcess> SupervisorProcess::Start(const std::string& binary,
                                                           const std::string& folder) {
  SpawnSettings settings;
  const std::string log = absl::StrCat(folder, "/log/supervisor.err");
  posix_spawn_file_actions_addopen(&settings.actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&settings.actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&settings.actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                   0600);
  posix_spawn_file_actions_addclosefrom_np(&settings.actions, 3);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&settings.attributes, &none);
  posix_spawnattr_setsigdefault(&settings.attributes, &all);
  posix_spawnattr_setflags(&settings.attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::string program = binary;
  std::string argument = folder;
  char* const argv[] = {program.data(), argument.data(), nullptr};
  char* const envp[] = {nullptr};
  pid_t pid = -1;
  const int error =
      posix_spawn(&pid, binary.c_str(), &settings.actions, &settings.attributes, argv, envp);
  if (error != 0) return ErrnoError(error, "cannot start", binary);
  return Adopt(pid);
}

absl::StatusOr<SupervisorProcess> SupervisorProcess::Adopt(pid_t pid) {
  // Not by glibc's wrapper: its header of Debian 12 does not serve C++.
  FileDescriptor pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) return ErrnoError(errno, absl::StrCat("cannot watch process ", pid));
  return SupervisorProcess(pid, std::move(pidfd));
}

void SupervisorProcess::Reap() const { waitpid(pid_, nullptr, WNOHANG); }

void SupervisorProcess::Kill() const {
  syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
}

absl::Status TellSupervisor(const std::string& folder, const std::string& line) {
  const FileDescriptor fd = Connect(folder);
  if (!fd.valid()) return absl::UnavailableError("the supervisor does not listen");
  const std::string request = line + "\n";
  if (send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return ErrnoError(errno, "cannot write to the supervisor");
  }
  char answer[256];
  const ssize_t n = recv(fd.get(), answer, sizeof answer, 0);
  if (n <= 0) return absl::UnavailableError("the supervisor did not answer");
  const absl::string_view text(answer, static_cast<size_t>(n));
  if (text.find("\"ok\":true") == absl::string_view::npos) {
    return absl::InternalError(absl::StrCat("the supervisor answered ", text));
  }
  return absl::OkStatus();
}

}  // namespace trainyard::worker
