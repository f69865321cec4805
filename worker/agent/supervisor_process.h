// A member's supervisor as the agent sees it: started detached, watched by a pidfd (so that a
// supervisor of an earlier agent is watched just as well), spoken to over control.sock. Loop thread
// only.
#ifndef TRAINYARD_WORKER_AGENT_SUPERVISOR_PROCESS_H_
#define TRAINYARD_WORKER_AGENT_SUPERVISOR_PROCESS_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file.h"

namespace trainyard::worker {

class SupervisorProcess {
 public:
  // Starts `binary` for the attempt in `folder`, in a session of its own, with the standard streams
  // away from ours and no other descriptor of ours.
  static absl::StatusOr<SupervisorProcess> Start(const std::string& binary,
                                                 const std::string& folder);
  // A running one, found by AttemptFolder::Supervisor().
  static absl::StatusOr<SupervisorProcess> Adopt(pid_t pid);

  pid_t pid() const { return pid_; }
  // Readable once the process ended.
  int ended_fd() const { return pidfd_.get(); }
  // Collects the exit status of one that we started; after it ended.
  void Reap() const;
  // SIGKILL; its ranks die with it or are found by KillLeft.
  void Kill() const;

 private:
  SupervisorProcess(pid_t pid, FileDescriptor pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  pid_t pid_;
  FileDescriptor pidfd_;
};

// One request line to the supervisor of `folder`; waits for its answer at most a second.
// UNAVAILABLE while it does not listen (yet, or any more).
absl::Status TellSupervisor(const std::string& folder, const std::string& line);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_SUPERVISOR_PROCESS_H_
