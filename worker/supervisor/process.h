// Starting one process and ending a whole family. vfork and execve without a shell; the caller is a
// child subreaper, so every orphan of the family becomes its child and can be found and reaped.
// Single-threaded use.
#ifndef TRAINYARD_WORKER_SUPERVISOR_PROCESS_H_
#define TRAINYARD_WORKER_SUPERVISOR_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "worker/core/launch_spec.h"

namespace trainyard::worker {

struct ProcessSpec {
  std::string path;  // of the executable, absolute or relative to `folder`
  std::vector<std::string> argv;
  Environment env;
  std::string folder;       // to run in; "": as we are
  std::string output_path;  // appended to; "": as we are
  std::string error_path;
  int64_t user_id = -1;  // -1: as we are
  int64_t group_id = -1;
};

struct StartedProcess {
  pid_t pid = -1;    // -1: not started
  int error = 0;     // errno of the failed step
  std::string step;  // "open", "chdir", "setuid", "exec", "fork"
};

// Returns once the program replaced the child (or could not). Standard input is /dev/null; every
// descriptor but 0, 1, 2 must be close-on-exec; signals are at their defaults.
StartedProcess StartProcess(const ProcessSpec& spec);

// Finds `program` like execvp with env's PATH; a name with a slash is taken as it is. "" when no
// folder of PATH has an executable of that name.
std::string FindProgram(const std::string& program, const Environment& env);

// Waits until the child `pid` has ended (it is not reaped), at most `millis`; false when it goes
// on. `pidfd` of it may be -1, for want of descriptors or of a kernel that has them: then it is
// looked at now and then.
bool AwaitEnd(pid_t pid, int pidfd, int millis);

// All descendants of this process, in no order.
std::vector<pid_t> Descendants();

// SIGKILLs every descendant and reaps until none is left or `millis_max` passed. Returns how many
// were signalled. Statuses are lost: call it when the ranks' own are known.
int KillDescendants(int millis_max);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_SUPERVISOR_PROCESS_H_
