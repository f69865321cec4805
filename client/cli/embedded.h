// The embedded cluster of this machine: its folders, its two daemons, starting and stopping both.
//
// Invariants: starting is idempotent and returns when jobs can run (the scheduler serves, the node
// is ready); two starters at once are kept apart by a lock file; stopping is agent first, scheduler
// second, and leaves running programs to their supervisors. One thread.
#ifndef TRAINYARD_CLIENT_CLI_EMBEDDED_H_
#define TRAINYARD_CLIENT_CLI_EMBEDDED_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/context.h"

namespace trainyard::cli {

struct EmbeddedFolders {
  std::string state;
  std::string run;  // pid files
  std::string log;
  std::string work;  // of the agent
  std::string scheduler_pid_file;
  std::string agent_pid_file;
};
EmbeddedFolders FoldersOf(const std::string& state);

struct StartOptions {
  std::string node_id;
  std::string listen;  // "": a free port of the loopback
  std::string http_listen;
  int cores = 0;       // 0: all
  std::string memory;  // "": all
  std::vector<std::string> scheduler_flags;
  std::vector<std::string> agent_flags;
  absl::Duration patience = absl::Seconds(30);
};

struct Started {
  bool scheduler_was_running = false;
  bool agent_was_running = false;
};
// INTERNAL with the end of the daemon's log when one does not come up.
absl::StatusOr<Started> StartEmbedded(Context* context, const StartOptions& options);

// Whether anything ran. Errors when a daemon does not stop.
absl::StatusOr<bool> StopEmbedded(const EmbeddedFolders& folders, absl::Duration patience);

// Folder of our Python module: beside an installed program, else in the source tree.
std::string PythonPath(const std::string& binary_folder);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_EMBEDDED_H_
