// The user of the node that a job's programs run as.
#ifndef TRAINYARD_WORKER_AGENT_RUN_AS_H_
#define TRAINYARD_WORKER_AGENT_RUN_AS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace trainyard::worker {

// The user that runs a project's jobs under a root agent: its ids; -1 each for "as the agent".
// INVALID_ARGUMENT when root's agent does not know the user, or another agent is asked for another
// user than its own.
struct RunAs {
  int64_t user_id = -1;
  int64_t group_id = -1;
  std::string user;  // "" : as the agent
  std::string home;
};
absl::StatusOr<RunAs> ResolveRunAs(const std::string& user);

// BAD_VALUE with the first folder on the way to the absolute `path` that the user may not enter;
// OK for whoever runs as the agent does. By owner, first group and others; access lists are not
// looked at. Any thread.
absl::Status CheckReach(const RunAs& run_as, const std::string& path);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_RUN_AS_H_
