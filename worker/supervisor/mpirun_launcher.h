// mpirun as a launcher: its arguments, the files its ranks read, and on the other nodes of a gang
// the daemon it asks for. mpirun reaches those nodes by no shell: its launch agent is our
// trainyard-rank under another name, which hands the command to the supervisor (see
// docs/adr/0006-gangs-across-nodes.md). Single-threaded, in the attempt folder.
#ifndef TRAINYARD_WORKER_SUPERVISOR_MPIRUN_LAUNCHER_H_
#define TRAINYARD_WORKER_SUPERVISOR_MPIRUN_LAUNCHER_H_

#include <memory>
#include <string>
#include <vector>

#include "worker/supervisor/launcher.h"

namespace trainyard::worker {

inline constexpr char kLauncherOut[] = "log/launcher.out";
inline constexpr char kLauncherErr[] = "log/launcher.err";

std::unique_ptr<Launcher> MakeMpirunLauncher(const LaunchSpec& spec);

// The arguments of mpirun, argv[0] included. `program`: the resolved path of spec.argv[0], used by
// a gang on one node; ranks of a gang over several nodes read their program on their own node.
// `launch_agent`: what mpirun runs to have a daemon on another node.
std::vector<std::string> MpirunArguments(const LaunchSpec& spec, const std::string& program,
                                         const std::string& session_folder,
                                         const std::string& launch_agent, bool as_root);

// Finds spec.argv[0] in the PATH of the spec; false with `failure`.
bool ResolveProgram(const LaunchSpec& spec, std::string* program, LaunchFailure* failure);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_SUPERVISOR_MPIRUN_LAUNCHER_H_
