// From an assignment to what the program sees: argv, environment, TF_CONFIG, CLUSTER_SPEC, one
// table a rank. Used by the agent and, for `trainyard local train`, by the client, so that the same
// argv and environment reach the program both ways. Pure; thread-safe.
#ifndef TRAINYARD_WORKER_CORE_LAUNCH_BUILD_H_
#define TRAINYARD_WORKER_CORE_LAUNCH_BUILD_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainyard/agent/v1/agent.pb.h"
#include "worker/core/launch_spec.h"

namespace trainyard::worker {

// What the machine adds to an assignment.
struct LaunchContext {
  std::string folder;                      // attempt folder, absolute
  std::string bin_folder;                  // where trainyard-rank lies
  std::string python_path;                 // folder that holds the module `trainyard`; "" : none
  std::string training_library;            // that the module loads; "": it looks for it
  std::vector<std::string> package_paths;  // unpacked packages, in order, absolute
  Environment base_env;                    // see AllowedEnvironment
  std::string node_id;
  int32_t cores = 1;                         // of the machine, for OMP_NUM_THREADS
  std::string master_address = "127.0.0.1";  // used when the assignment has no peer's
  int32_t master_port = 0;
  int64_t lease_ms = 0;        // of strict runs; others get the assignment's stop_after
  int64_t lease_grace_ms = 0;  // of strict runs when their lease ends; 0: the assignment's grace
  int64_t user_id = -1;
  int64_t group_id = -1;
  std::string mpirun = "mpirun";
  int32_t open_mpi = 4;            // its major version
  std::string daemon;              // absolute path of its daemon
  std::string interface;           // by which other nodes reach this one; "": not known
  std::string port_range;          // "LOW-HIGH" for ports of gangs; "": any
  std::string python = "python3";  // what "python3" of a spec means here; see common/python.h
};

// INVALID_ARGUMENT (BAD_VALUE, MISSING_FIELD, NOT_SUPPORTED) with the spec's field when the
// assignment cannot be run here: no program, a forbidden variable, an impossible launcher.
absl::StatusOr<LaunchSpec> BuildLaunchSpec(const agent::v1::Assignment& assignment,
                                           const LaunchContext& context);

// Folders that must exist below the attempt folder before the supervisor starts.
std::vector<std::string> AttemptFolders();

// The part of a daemon's environment ("NAME=value" texts) that programs inherit: paths, locale,
// temporary folder, proxies, CUDA and library settings. Everything else stays out, tokens above
// all.
Environment AllowedEnvironment(const std::vector<std::string>& variables);

// BAD_VALUE with field program.env unless the name may be set by a spec: LD_*, OMPI_*, PMIX_*,
// TRAINYARD_* and what Trainyard itself sets are refused.
absl::Status CheckUserVariable(const std::string& name, const std::string& value);

// "--name=value": integers without a point, doubles in the shortest form that reads back equal.
std::string ParameterArgument(const v1::ParameterValue& parameter);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_CORE_LAUNCH_BUILD_H_
