// How the ranks of a member come to life: `direct` starts each itself, `mpirun` starts Open MPI's
// launcher with trainyard-rank in front of the program, and on the other nodes of its gang the
// daemon that it asks for. Behind one interface; single-threaded, in the attempt folder.
#ifndef TRAINYARD_WORKER_SUPERVISOR_LAUNCHER_H_
#define TRAINYARD_WORKER_SUPERVISOR_LAUNCHER_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "worker/core/launch_spec.h"

namespace trainyard::worker {

struct RankState {
  int32_t rank = 0;
  pid_t pid = -1;  // -1: not known yet
  bool ended = false;
  int wait_status = 0;          // when ended
  int64_t end_time_ns = 0;      // CLOCK_MONOTONIC
  bool killed_by_host = false;  // the kernel took it for want of memory
  std::string victim = {};      // of its children, that one: a few words; "": none
  std::string still = {};       // why we ended it: it stood still, in words; "": we did not
  bool still_for_sure = false;  // it is the cause, and not one who waits for another
};

struct LaunchFailure {
  int32_t rank = -1;
  std::string step;  // as DiagnoseStart wants it
  std::string path;
  int error = 0;
};

class Launcher {
 public:
  virtual ~Launcher() = default;
  // Starts the program. `ranks` are those of the spec; pids that are known at once are filled in.
  // `folder` is the absolute attempt folder, also the current one. False with `failure` when
  // nothing runs or not all of it; ranks that run already have their pid.
  virtual bool Start(const LaunchSpec& spec, const std::string& folder,
                     std::vector<RankState>* ranks, LaunchFailure* failure) = 0;
  // The launcher's own process, -1 when it has none (yet).
  virtual pid_t pid() const { return -1; }
  // Ranks come to life below the launcher and register themselves.
  virtual bool ranks_register() const { return false; }
  // mpirun of the gang's head asks for its daemon here. Once; the same words again change nothing.
  // "" when it runs, else a sentence.
  virtual std::string StartDaemon(const std::vector<std::string>& /*asked*/) {
    return "this member waits for no daemon";
  }
  // Cleans what the launcher left; everything it started is gone.
  virtual void Finish() {}
};

// By spec.launcher; on a node that is not its gang's head, what waits for mpirun's daemon.
std::unique_ptr<Launcher> MakeLauncher(const LaunchSpec& spec);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_SUPERVISOR_LAUNCHER_H_
