// Runs one program on this machine as a node would: the same launch spec, the same supervisor, no
// cluster. Prints what the ranks print as they print it.
//
// Invariants: the attempt folder is private (0700); a Ctrl-C stops the ranks with their grace and
// leaves no process behind. One thread.
#ifndef TRAINYARD_CLIENT_CLI_LOCAL_RUN_H_
#define TRAINYARD_CLIENT_CLI_LOCAL_RUN_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/context.h"
#include "trainyard/v1/spec.pb.h"

namespace trainyard::cli {

struct LocalRun {
  v1::Program program;
  // On Python's path; the first is the work folder too. None: the current folder.
  std::vector<std::string> package_roots;
  int ranks = 1;
  std::string job_dir;  // "" : none; a local path is written to directly
  v1::Launcher launcher = v1::LAUNCHER_UNSPECIFIED;
};

// OK when every rank exited with 0; PROGRAM_FAILED with cause, rank and fix otherwise. What the
// program left in its model and checkpoint folders stays, and is said.
absl::Status RunLocally(Context* context, const LocalRun& run);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_LOCAL_RUN_H_
