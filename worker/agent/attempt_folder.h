// One attempt's folder on disk, from its making to its removal, and what a restarted agent reads
// out of it. Names inside are those of worker/core/launch_spec.h (layout); the agent's own are
// assignment.pb and `reported`, the number of the Exited fact. Any thread, one per folder at a
// time.
#ifndef TRAINYARD_WORKER_AGENT_ATTEMPT_FOLDER_H_
#define TRAINYARD_WORKER_AGENT_ATTEMPT_FOLDER_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file.h"
#include "trainyard/agent/v1/agent.pb.h"
#include "worker/core/launch_spec.h"
#include "worker/core/member_id.h"

namespace trainyard::worker {

class AttemptFolder {
 public:
  explicit AttemptFolder(std::string path) : path_(std::move(path)) {}

  // Makes the folder (0700) and all that programs expect in it, and keeps the assignment. With
  // `user_id` >= 0 what the program writes to belongs to that user. Fails when it exists already.
  absl::Status Create(const agent::v1::Assignment& assignment, int64_t user_id,
                      int64_t group_id) const;
  absl::Status WriteLaunch(const LaunchSpec& spec) const;
  // Remembers the Exited fact's number.
  absl::Status MarkReported(uint64_t sequence) const;

  absl::StatusOr<agent::v1::Assignment> ReadAssignment() const;
  std::optional<uint64_t> Reported() const;
  bool Launched() const;  // launch.json is there
  // The exit record; NOT_FOUND while there is none.
  absl::StatusOr<ExitReport> ReadExit() const;
  // The living supervisor, by lock and identity (boot, pid, start time); -1 when there is none.
  pid_t Supervisor() const;
  // Takes the lock, so that a supervisor which starts only now gives up. Invalid when one has it.
  FileDescriptor Seize() const;
  // Session of a supervisor of this boot that is gone, -1 when there was none or it cannot be told.
  pid_t DeadSession() const;
  // Whether the folder's last supervisor belonged to an earlier boot of the machine.
  bool FromEarlierBoot() const;

  const std::string& path() const { return path_; }
  std::string In(const std::string& name) const { return path_ + "/" + name; }

 private:
  const std::string path_;
};

struct FoundAttempt {
  MemberId id;
  std::string path;
};
// Attempt folders below `folder`, in order of their ids; other names are left alone.
std::vector<FoundAttempt> FindAttempts(const std::string& folder);

// SIGKILLs every process of session `session` (a supervisor's pid; -1: unknown) and every one whose
// environment names `folder`, an attempt's, and waits until none is left or a second passed. For a
// supervisor that died without its exit record.
void KillLeft(pid_t session, const std::string& folder);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_ATTEMPT_FOLDER_H_
