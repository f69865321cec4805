// Daemons of the embedded cluster as processes: started detached with a pid file, found again,
// stopped.
//
// Invariants: a pid file holds pid and start time, so that a number used again by the kernel is
// never taken for ours; a daemon is started with an argument vector, never through a shell; its
// output goes to a log file. One thread.
#ifndef TRAINYARD_CLIENT_CLI_DAEMON_H_
#define TRAINYARD_CLIENT_CLI_DAEMON_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace trainyard::cli {

struct DaemonSpec {
  std::string program;  // absolute path
  std::vector<std::string> arguments;
  std::string pid_file;
  std::string log_file;
};

// The pid in the file if that very process still lives, 0 otherwise.
pid_t LivingPid(const std::string& pid_file);

// Starts it in a session of its own, standard input closed, and writes the pid file. The caller
// stays its parent until it ends. NOT_FOUND when the program is absent.
absl::StatusOr<pid_t> StartDaemon(const DaemonSpec& spec);

// "" while the child `pid` lives, else how it ended: "exit code 1", "signal 11".
std::string HowItEnded(pid_t pid);

// SIGTERM, then waits. OK when no such process is left; DEADLINE_EXCEEDED otherwise.
absl::Status StopDaemon(const std::string& pid_file, absl::Duration patience);

// The last lines of a log file, at most `bytes_max` bytes, without its first `from` bytes.
std::string LastOfLog(const std::string& path, size_t bytes_max, size_t from = 0);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_DAEMON_H_
