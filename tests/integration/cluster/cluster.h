// A whole cluster of real programs in one temporary folder: a scheduler, any number of agents (each
// joins with a one-time token), and what they start. Everything of it is killed and removed at the
// end, whatever the test did. One thread.
//   FOLDER/state/     of the scheduler      FOLDER/agents/N/  work folder of node N
//   FOLDER/beats/     records of ranks      FOLDER/log/       what the daemons wrote
#ifndef TRAINYARD_TESTS_INTEGRATION_CLUSTER_CLUSTER_H_
#define TRAINYARD_TESTS_INTEGRATION_CLUSTER_CLUSTER_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tests/integration/cluster/api.h"
#include "tests/integration/cluster/process.h"
#include "tests/integration/cluster/wait.h"

namespace trainyard::testing {

// TRAINYARD_TEST_LONG=1: ten times the repetitions.
bool IsLong();
int Times(int count);
// The same for counts in the hundreds: a build with sanitizers, which is slow and looks for other
// things, plays a tenth of them.
int ManyTimes(int count);

struct DaemonOptions {
  std::vector<std::string> flags;
  std::vector<std::string> env;
  std::string network;  // a network namespace
};
struct AgentSettings : DaemonOptions {
  int cores = 8;
  std::string target;  // "": the scheduler's unix socket
  std::string binary;  // "": the agent of this build
};

class Cluster {
 public:
  Cluster();
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  const std::string& folder() const { return folder_; }
  std::string Path(absl::string_view name) const;
  std::string State() const { return Path("state"); }
  std::string Socket() const;                       // the scheduler's address on this machine
  std::string Beats(absl::string_view name) const;  // prefix of a rank's records

  // Starts the scheduler; the state folder is kept from an earlier one.
  void LaunchScheduler(const DaemonOptions& options = {});
  // True once it serves; false when it ended or never did.
  bool AwaitServing();
  absl::Status StartScheduler(const DaemonOptions& options = {});
  Process& scheduler() { return scheduler_; }
  std::string SchedulerLog() const { return ReadLog("scheduler"); }
  // A word of endpoint.json, such as "grpc_tcp".
  std::string Endpoint(const std::string& word) const;
  std::string Token() const;  // the owner's

  // Starts the agent of `node`, which joins if it never did, and waits until it is READY.
  absl::Status StartAgent(const std::string& node, const AgentSettings& settings = {});
  void LaunchAgent(const std::string& node, const AgentSettings& settings);
  absl::Status AwaitReady(const std::string& node);
  Process& agent(const std::string& node) { return agents_[node]; }
  std::string WorkDir(const std::string& node) const;
  std::string AgentLog(const std::string& node) const { return ReadLog(node); }

  // A connection to the scheduler of now, as the owner.
  std::unique_ptr<Api> Connect() const;

  // What the cluster left: daemons, supervisors, launchers, ranks. Daemons are not counted.
  std::vector<Found> Orphans() const;
  // Waits until no program runs any more and no node holds a core or device; OK then.
  absl::Status AwaitQuiet(Api* api);
  // What its last log lines say, for a failing test.
  std::string Describe() const;

 private:
  std::string ReadLog(const std::string& daemon) const;
  absl::Status WriteJoinToken(const std::string& node);
  std::string folder_;
  Process scheduler_;
  std::map<std::string, Process> agents_;
};

// One rank's record, as trainyard-test-rank keeps it.
struct Beat {
  int rank = 0;
  uint64_t epoch = 0;
  pid_t pid = 0;
  int64_t counter = 0;
  int64_t gap_ms = 0;  // longest it ever stood still
};
// All records with `prefix`, by rank, epoch and pid. One per start of a rank.
std::vector<Beat> ReadBeats(const std::string& prefix);

// Specs. `ranks` replicas of a tenth of a core each; more than one is a gang under mpirun.
v1::JobSpec SpecOf(const std::vector<std::string>& command, int ranks = 1);
// Ranks that beat in `prefix`; `options` as the program's.
v1::JobSpec BeatSpec(const std::string& prefix, const std::vector<std::string>& options,
                     int ranks = 1);

// Waits until the job is in one of `states`; the job then, or what it was at the end.
absl::StatusOr<v1::Job> AwaitState(Api* api, const std::string& name,
                                   const std::vector<v1::JobState>& states,
                                   absl::Duration limit = kPatience);
absl::StatusOr<v1::Job> AwaitEnd(Api* api, const std::string& name,
                                 absl::Duration limit = kPatience);
// Waits until `ranks` ranks of `prefix` beat and each counter has risen above `above`.
bool AwaitBeats(const std::string& prefix, int ranks, int64_t above = 0);

}  // namespace trainyard::testing

#endif  // TRAINYARD_TESTS_INTEGRATION_CLUSTER_CLUSTER_H_
