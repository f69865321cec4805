// Which Open MPI this node has: its major version decides how its launcher's parameters are called,
// and its daemon is what the heads of other nodes' gangs want to have started here.
#ifndef TRAINYARD_WORKER_AGENT_OPEN_MPI_H_
#define TRAINYARD_WORKER_AGENT_OPEN_MPI_H_

#include <cstdint>
#include <string>

#include "worker/core/launch_spec.h"

namespace trainyard::worker {

struct OpenMpi {
  int32_t major = 4;
  std::string version;  // "4.1.4"; "": not to be had
  std::string daemon;   // absolute path of orted or prted; "": none
};

// Asks `mpirun` (a name in the PATH of `env`, or a path) for its version. Blocks for some tens of
// milliseconds, at most 5 seconds.
OpenMpi FindOpenMpi(const std::string& mpirun, const Environment& env);

// Of what `mpirun --version` says: "mpirun (Open MPI) 4.1.4"; "" when it is no Open MPI.
std::string OpenMpiVersion(const std::string& text);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_OPEN_MPI_H_
