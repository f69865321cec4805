// See socket_patience.h.
#include "worker/supervisor/socket_patience.h"

#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <utility>

namespace trainyard::worker {
namespace {

int OptionOf(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

enum class Outcome { kNotOurs, kNotYet, kSet };

Outcome SetLimit(int fd, int limit_ms) {
  if (OptionOf(fd, SO_PROTOCOL) != IPPROTO_TCP) return Outcome::kNotOurs;
  if (OptionOf(fd, SO_KEEPALIVE) != 1) return Outcome::kNotYet;  // it may be about to ask for it
  return setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof limit_ms) == 0
             ? Outcome::kSet
             : Outcome::kNotOurs;
}

}  // namespace

int SocketPatience::Look(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(opendir(folder.c_str()), closedir);
  if (listing == nullptr) return 0;
  int pidfd = -1;
  int set = 0;
  std::set<std::string> now;
  while (const dirent* const entry = readdir(listing.get())) {
    char target[64];
    const ssize_t size =
        readlink((folder + "/" + entry->d_name).c_str(), target, sizeof target - 1);
    if (size <= 0 || strncmp(target, "socket:", 7) != 0) continue;
    const std::string name =
        std::string(entry->d_name) + " " + std::string(target, static_cast<size_t>(size));
    now.insert(name);
    if (seen_.count(name) > 0) continue;
    if (pidfd < 0) pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    const int fd = static_cast<int>(syscall(SYS_pidfd_getfd, pidfd, atoi(entry->d_name), 0));
    if (fd < 0) continue;
    const Outcome outcome = SetLimit(fd, limit_ms_);
    if (outcome == Outcome::kNotYet) now.erase(name);
    if (outcome == Outcome::kSet) ++set;
    close(fd);
  }
  if (pidfd >= 0) close(pidfd);
  seen_ = std::move(now);
  return set;
}

}  // namespace trainyard::worker
