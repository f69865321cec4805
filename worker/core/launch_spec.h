// What a supervisor is told (launch.json) and what it answers (exit.json), as structs and as JSON.
// The agent and `trainyard local train` write the first and read the second; the supervisor does
// the reverse. Depends on the standard library alone, so that the supervisor stays small and starts
// fast. Pure; thread-safe.
#ifndef TRAINYARD_WORKER_CORE_LAUNCH_SPEC_H_
#define TRAINYARD_WORKER_CORE_LAUNCH_SPEC_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace trainyard::worker {

using Environment = std::map<std::string, std::string>;

struct RankLaunch {
  int32_t rank = 0;  // global
  int32_t local_rank = 0;
  Environment env;  // on top of LaunchSpec::env
};

// One node of a gang that spans several, by member number.
struct GangNode {
  std::string node;            // its name
  std::string address;         // as its agent gives it; mpirun's name for it
  std::vector<int32_t> ranks;  // global
};

struct LaunchSpec {
  std::string launcher = "direct";  // or "mpirun"
  std::vector<std::string> argv;    // of the program; argv[0] is looked up in env's PATH
  Environment env;                  // the whole environment of every rank
  std::vector<RankLaunch> ranks;    // of this member, by local rank
  int32_t world_size = 1;
  int32_t member = 0;
  std::string node;
  std::string mpirun = "mpirun";         // program name or absolute path
  int32_t open_mpi = 4;                  // major version of it
  std::string daemon;                    // absolute path of its daemon here; gangs of several nodes
  std::string rank_shim;                 // absolute path of trainyard-rank; mpirun only
  std::string network_interface = "lo";  // of mpirun's traffic; "": any
  std::string port_range;                // "LOW-HIGH" of its listening ports; "": any
  std::vector<GangNode> gang;            // all nodes, when there are several
  int64_t grace_ms = 10000;              // SIGTERM to SIGKILL
  int64_t timeout_ms = 0;                // from the start; 0: none
  int64_t lease_ms = 0;                  // without a word from the agent; 0: for ever
  int64_t lease_grace_ms = 0;            // the grace when the lease ends; 0: grace_ms
  std::string job_dir_argument;          // the --job-dir argument we added, "" when none
  std::vector<std::string> parameters;   // names of hyperparameters that we added as arguments
  std::string metric_file;               // hypertune file of rank 0; "": none
  int64_t user_id = -1;                  // run the program as; -1: as the supervisor
  int64_t group_id = -1;
};

std::string LaunchSpecToJson(const LaunchSpec& spec);
// False with a sentence in `error` when `text` is no launch spec: wrong JSON, types, version, no
// program or no rank.
bool LaunchSpecFromJson(const std::string& text, LaunchSpec* spec, std::string* error);

// How a member ended. `cause` and `stop` are names of trainyard.v1.ExitCause and
// agent.v1.StopReason; "" : none.
struct ExitReport {
  std::string cause;    // "" when every rank exited with 0
  std::string reason;   // stable reason of common/reasons.cc, "" when none fits
  std::string message;  // one sentence with the mending hint
  int32_t rank = -1;    // first failing rank
  std::string node;
  int32_t exit_code = 0;
  int32_t signal = 0;
  std::string stderr_tail;  // at most 8 KiB of that rank
  std::string stop;         // reason of the stop that ended it
  // 0: a rank of this member failed by itself. 1: what mpirun says of the gang. 2: this node's part
  // ended with the rest of the gang. A failure of less doubt elsewhere is the cause.
  int32_t doubt = 0;
  int64_t last_step = 0;
  std::vector<std::string> metrics_seen;  // names, sorted
  int64_t start_us = 0;                   // wall clock
  int64_t end_us = 0;
};

std::string ExitReportToJson(const ExitReport& report);
bool ExitReportFromJson(const std::string& text, ExitReport* report, std::string* error);

// Prefixes of the folders in layout::kScratch, before six letters and digits.
inline constexpr const char* kScratchPrefixes[] = {"/tmp/trainyard-mpi-",
                                                   "/dev/shm/trainyard-mpi-"};

// Names inside an attempt folder; the one place that knows them.
namespace layout {
inline constexpr char kLaunch[] = "launch.json";
inline constexpr char kWork[] = "work";
inline constexpr char kPackages[] = "package";
inline constexpr char kModel[] = "model";
inline constexpr char kCheckpoints[] = "checkpoints";
inline constexpr char kDeclared[] = "declared";  // links to checkpoints that are being uploaded
inline constexpr char kTensorboard[] = "tensorboard";
inline constexpr char kJobDir[] = "job_dir";
inline constexpr char kLog[] = "log";
inline constexpr char kRankTables[] = "ranks";  // rank-R.env: "NAME=value" ended by zero bytes
inline constexpr char kHypertune[] = "hypertune";
inline constexpr char kMetrics[] = "metrics.jsonl";
inline constexpr char kEvents[] = "events.jsonl";
inline constexpr char kControlSocket[] = "control.sock";
inline constexpr char kReporterSocket[] = "reporter.sock";
inline constexpr char kExit[] = "exit.json";
inline constexpr char kNewSuffix[] = ".new";  // of exit.json until its renaming is durable too
inline constexpr char kLock[] = "lock";       // "BOOT_ID PID START_TIME\n", under flock for life
// Folders outside that were made for the attempt, a line each: for who cleans up behind a
// supervisor that was killed.
inline constexpr char kScratch[] = "scratch";
std::string RankLog(int32_t rank, bool is_stderr);      // "log/rank-R.out"
std::string RankTable(int32_t rank);                    // "ranks/rank-R.env"
inline constexpr char kRankArguments[] = "ranks/argv";  // of the program, each ended by a zero byte
}  // namespace layout

// Environment variables of the shim (trainyard-rank), beside Open MPI's own.
inline constexpr char kAttemptVariable[] = "TRAINYARD_ATTEMPT_DIR";
inline constexpr char kSocketVariable[] = "TRAINYARD_SOCKET";
// The shim's name when mpirun calls it to have a daemon started on another node.
inline constexpr char kLaunchAgentName[] = "launch-agent";

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_CORE_LAUNCH_SPEC_H_
