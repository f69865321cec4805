// Why did it end, for people: from exit status, signal, the end of standard error and what we know
// about the launch to a cause, a stable reason and one sentence that says how to mend it. Pure.
#ifndef TRAINYARD_WORKER_SUPERVISOR_DIAGNOSIS_H_
#define TRAINYARD_WORKER_SUPERVISOR_DIAGNOSIS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "worker/core/launch_spec.h"

namespace trainyard::worker {

struct Diagnosis {
  std::string cause;
  std::string reason;
  std::string message;
};

// A program that could not be started at `step` ("exec", "find", "chdir", "open", "setuid",
// "fork") with errno `error`. `path`: what was tried, or the name that was looked for.
Diagnosis DiagnoseStart(const LaunchSpec& spec, const std::string& step, const std::string& path,
                        int error);

struct RankEnd {
  int32_t rank = 0;
  int wait_status = 0;          // as waitpid gives it; not an exit with 0
  bool killed_by_host = false;  // the kernel's out-of-memory killer took it
  std::string victim = {};      // of its children, that one: "its process 17 (python3)"
  std::string still = {};       // it was ended because it stood still: what it did, in words
};
// `stderr_tail`: at most 8 KiB of that rank.
Diagnosis DiagnoseEnd(const LaunchSpec& spec, const RankEnd& end, const std::string& stderr_tail);

// A stop that was asked for. `stop`: a name of agent.v1.StopReason, or kNodeStops for a SIGTERM of
// the machine's own.
inline constexpr char kNodeStops[] = "NODE_STOPS";
Diagnosis DiagnoseStop(const LaunchSpec& spec, const std::string& stop);

// The launcher (mpirun) ended with an error although no rank failed.
Diagnosis DiagnoseLauncher(const LaunchSpec& spec, int wait_status, const std::string& stderr_tail);

// The rest of a gang over several nodes ended, and with it mpirun's daemon here.
Diagnosis DiagnoseDaemon(const LaunchSpec& spec);

// The node whose daemon mpirun says it lost; null when it says no such thing.
const GangNode* FindLostNode(const LaunchSpec& spec, const std::string& stderr_tail);
Diagnosis DiagnoseLostNode(const GangNode& node);

// Whether a rank's last words are that the others went: then its failure is an echo of theirs.
bool LostItsPeers(const std::string& stderr_tail);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_SUPERVISOR_DIAGNOSIS_H_
