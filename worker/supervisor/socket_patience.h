// Makes a process's network connections notice a lost peer also while data is under way: probes of
// an idle connection (keep-alive) pause then, and the kernel would send again for a quarter of an
// hour. mpirun and its daemons cannot be told to, so their supervisor sets the limit on their open
// sockets from outside (pidfd_getfd, Linux 5.6). Single-threaded.
#ifndef TRAINYARD_WORKER_SUPERVISOR_SOCKET_PATIENCE_H_
#define TRAINYARD_WORKER_SUPERVISOR_SOCKET_PATIENCE_H_

#include <sys/types.h>

#include <set>
#include <string>

namespace trainyard::worker {

class SocketPatience {
 public:
  explicit SocketPatience(int limit_ms) : limit_ms_(limit_ms) {}

  // To be called now and then: sockets that are new get the limit, if they are TCP and probe their
  // peers. Returns how many did. A process that is gone, or a kernel that does not let us, is none.
  int Look(pid_t pid);

 private:
  const int limit_ms_;
  std::set<std::string> seen_;  // "FD socket:[INODE]" of the last look
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_SUPERVISOR_SOCKET_PATIENCE_H_
