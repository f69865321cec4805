// Trace replay: a policy on a virtual clock of whole seconds. Pure; same input, same output.
//
// One instant: all finishes, then all demotions, then all arrivals (each by row), then one
// scheduling pass. A gang gets all its GPUs at once or none; its size never changes. Ties are
// broken by submit time, then row. The second and every later start of a job first spends
// `restart_cost` seconds without progress.
//
// Policies:
//   fifo     strict: a head that does not fit blocks everybody
//   skip     queue order, whoever fits starts
//   easy     the blocked head alone gets a reservation; of the next 500 those start that cannot
//   delay it (EASY
//            backfill, Lifka 1995; run times known exactly)
//   sjf      not preemptive, duration x GPUs (oracle)
//   srsf     preemptive, remaining run time x GPUs (oracle)
//   las      preemptive, two levels of attained GPU-seconds, running jobs first inside a level
//   (Tiresias, NSDI 2019) lasfifo  the same levels, strict submit order inside a level
//   las-r, fair  the scheduler's own planner (scheduler/placement); it also has fifo, skip and
//   easy, which do the same as those above, and a las that chooses its victims where least is lost
#ifndef TRAINYARD_SIM_REPLAY_REPLAY_H_
#define TRAINYARD_SIM_REPLAY_REPLAY_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sim/replay/trace.h"

namespace trainyard::replay {

struct Options {
  std::string policy = "fifo";
  int nodes = 1;
  int gpus_per_node = 8;
  bool pack = true;          // false: one pool without fragmentation
  int64_t restart_cost = 0;  // seconds
  // Of policies with levels, las and las-r: GPU-seconds in the first one, times gpus^exponent. Not
  // said: 57,600 and 0, for the planner what its policy says.
  std::optional<double> las_threshold;
  std::optional<double> las_gpu_exponent;
  // Of policies of the scheduler's planner: las-r and fair, and with `planner` also fifo, skip,
  // easy and las.
  bool planner = false;
  double limit_factor = 0;  // jobs have time limits of so many times their run time; 0: none
  bool estimates = false;   // say when each job that has to wait will start
  // Every plan of a planner's policy is made from a snapshot by a planner that knows nothing else,
  // as the scheduler makes it, instead of by one that lives on: slower, with the same result.
  bool snapshots = false;
  std::map<std::string, double> parameters;  // by name (placement::SetParameter)
};

struct JobResult {
  int64_t first_start = -1;
  int64_t end = -1;
  int32_t preemptions = 0;
};

struct Summary {
  double average_jct = 0, p50 = 0, p90 = 0, p99 = 0;  // seconds from submit to end; nearest rank
  int64_t makespan = 0;                               // from the first submit
  double average_wait = 0;                            // JCT - duration
  double multi_node_wait = 0;                         // of jobs larger than a node
  int64_t worst_wait = 0;
  double utilisation = 0;  // useful GPU-seconds / (GPUs x makespan)
  int64_t preemptions = 0;
  int64_t passes = 0;
  int64_t estimates = 0;       // starts that were estimated on arrival
  int64_t estimates_met = 0;   // of those, within the 80 % band
  int64_t estimates_told = 0;  // of those, told to users: they rest on something learned
  int64_t told_met = 0;        // of those, within the band
};

struct Outcome {
  std::vector<JobResult> jobs;  // in the order of the trace
  Summary summary;
};

const std::vector<std::string>& PolicyNames();

// INVALID_ARGUMENT for an unknown policy, an option that the policy has no use for, or a job that
// no placement could ever hold (named by id).
absl::StatusOr<Outcome> Replay(const std::vector<TraceJob>& trace, const Options& options);

}  // namespace trainyard::replay

#endif  // TRAINYARD_SIM_REPLAY_REPLAY_H_
