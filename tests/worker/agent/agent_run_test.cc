// Members from order to release through a real agent, supervisor and gRPC.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "common/file.h"
#include "tests/worker/agent/agent_fixture.h"
#include "worker/agent/run_as.h"

namespace trainyard::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(AgentTest, RunsOneProgramAndReleasesIt) {
  StartAgent();
  const auto key = Run(Assign({"/bin/true"}));
  const agent::v1::Exited exited = scheduler_.WaitForExit(key);
  EXPECT_EQ(exited.record().cause(), v1::EXIT_CAUSE_UNSPECIFIED) << exited.record().message();
  EXPECT_EQ(exited.record().node(), "node-1");
  EXPECT_FALSE(exited.refused());
  EXPECT_TRUE(WaitForReleased(key));
  EXPECT_TRUE(WaitForFile(AttemptPath(key), false)) << "the folder outlived its acknowledgement";
  const FakeScheduler::Received received = scheduler_.received();
  EXPECT_EQ(received.token, "Bearer agent-token");
  ASSERT_EQ(received.facts.size(), 3u);
  EXPECT_TRUE(received.facts[0].has_running());
  EXPECT_GT(received.facts[0].running().pid(), 0);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(received.facts[i].sequence(), i + 1);
}

TEST_F(AgentTest, HelloTellsTheInventory) {
  options_.inventory.mutable_labels()->insert({"zone", "a"});
  StartAgent();
  ASSERT_TRUE(scheduler_.WaitFor([](const auto& r) { return !r.hellos.empty(); }));
  const agent::v1::Hello hello = scheduler_.received().hellos[0];
  EXPECT_EQ(hello.inventory().node_id(), "node-1");
  EXPECT_EQ(hello.inventory().cores(), 4);
  EXPECT_GT(hello.inventory().memory_bytes(), 0);
  EXPECT_FALSE(hello.inventory().boot_id().empty());
  EXPECT_EQ(hello.inventory().labels().at("zone"), "a");
}

TEST_F(AgentTest, ShipsBothStreamsWholeAndMarksTheirEnd) {
  StartAgent();
  const auto key =
      Run(Assign(Shell("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; "
                       "echo oops >&2; printf 'no end'")));
  EXPECT_EQ(scheduler_.WaitForExit(key).record().cause(), v1::EXIT_CAUSE_UNSPECIFIED);
  std::string expected;
  for (int i = 0; i < 2000; ++i) expected += "line " + std::to_string(i) + "\n";
  // All output is acknowledged before the end is told.
  EXPECT_EQ(scheduler_.Log(key, 0, false), expected + "no end");
  EXPECT_EQ(scheduler_.Log(key, 0, true), "oops\n");
  int ends = 0;
  for (const auto& batch : scheduler_.received().telemetry) {
    EXPECT_EQ(batch.job_uid(), 77u);
    EXPECT_EQ(batch.job_id(), "job_1");
    for (const auto& chunk : batch.logs()) ends += chunk.end() ? 1 : 0;
  }
  EXPECT_EQ(ends, 2);
}

TEST_F(AgentTest, AFailureNamesRankCodeAndLastWords) {
  StartAgent();
  const auto key = Run(Assign(Shell("echo what went wrong >&2; exit 7")));
  const agent::v1::Exited exited = scheduler_.WaitForExit(key);
  EXPECT_EQ(exited.record().cause(), v1::USER_ERROR);
  EXPECT_EQ(exited.record().exit_code(), 7);
  EXPECT_EQ(exited.record().rank(), 0);
  EXPECT_THAT(exited.record().message(), HasSubstr("what went wrong"));
  EXPECT_EQ(exited.record().stderr_tail(), "what went wrong\n");
}

TEST_F(AgentTest, AProgramThatIsNotThereIsALaunchFailure) {
  StartAgent();
  const auto key = Run(Assign({"no-such-program"}));
  const agent::v1::Exited exited = scheduler_.WaitForExit(key);
  EXPECT_EQ(exited.record().cause(), v1::LAUNCH);
  EXPECT_THAT(exited.record().message(), HasSubstr("no-such-program"));
}

TEST_F(AgentTest, AForbiddenVariableIsRefusedWithItsName) {
  StartAgent();
  agent::v1::Assignment assignment = Assign({"/bin/true"});
  (*assignment.mutable_program()->mutable_env())["LD_PRELOAD"] = "/tmp/evil.so";
  const auto key = Run(assignment);
  const agent::v1::Exited exited = scheduler_.WaitForExit(key);
  EXPECT_EQ(exited.record().cause(), v1::LAUNCH);
  EXPECT_TRUE(exited.refused());
  EXPECT_THAT(exited.record().message(), HasSubstr("LD_PRELOAD"));
}

TEST_F(AgentTest, MetricsOfTheReporterAndOfTheMetricFileArrive) {
  StartAgent();
  agent::v1::Assignment assignment = Assign({"/usr/bin/python3", "-c", R"(
import json, os, socket
s = socket.socket(socket.AF_UNIX)
s.connect(os.environ['TRAINYARD_SOCKET'])
f = s.makefile('rw')
def ask(request):
    f.write(json.dumps(request) + '\n'); f.flush()
    return json.loads(f.readline())
assert ask({'hello': {'rank': 0, 'pid': os.getpid()}}) == {'ok': True}
assert ask({'report': {'step': 3, 'metrics': {'accuracy': 0.5, 'loss': 'nan'}}})['ok']
assert ask({'should_stop': True}) == {'should_stop': False}
assert 'error' in ask({'nonsense': 1})
with open(os.environ['CLOUD_ML_HP_METRIC_FILE'], 'w') as m:
    m.write(json.dumps({'timestamp': 5.5, 'trial': '0', 'auc': '0.75', 'global_step': '9'}) + '\n')
)"});
  assignment.add_study_metrics("accuracy");
  const auto key = Run(assignment);
  const agent::v1::Exited exited = scheduler_.WaitForExit(key);
  EXPECT_EQ(exited.record().cause(), v1::EXIT_CAUSE_UNSPECIFIED) << exited.record().stderr_tail();
  EXPECT_THAT(exited.metrics_seen(), ElementsAre("accuracy", "auc", "loss"));
  EXPECT_EQ(exited.last_step(), 9);
  std::map<std::string, double> values;
  for (const v1::MetricPoint& point : scheduler_.Points(key)) values[point.name()] = point.value();
  EXPECT_EQ(values["accuracy"], 0.5);
  EXPECT_EQ(values["auc"], 0.75);
  EXPECT_TRUE(std::isnan(values["loss"]));
}

TEST_F(AgentTest, MetricsComeOutOfTheLogByRegularExpression) {
  StartAgent();
  agent::v1::Assignment assignment =
      Assign(Shell("for i in 1 2 3; do echo epoch $i acc=0.$i; done"));
  assignment.mutable_metrics()->set_regex("epoch (?P<step>\\d+) acc=(?P<value>[0-9.]+)");
  assignment.add_study_metrics("acc");
  const auto key = Run(assignment);
  const agent::v1::Exited exited = scheduler_.WaitForExit(key);
  EXPECT_THAT(exited.metrics_seen(), ElementsAre("acc"));
  EXPECT_EQ(exited.last_step(), 3);
  const std::vector<v1::MetricPoint> points = scheduler_.Points(key);
  ASSERT_EQ(points.size(), 3u);
  EXPECT_EQ(points[2].step(), 3);
  EXPECT_EQ(points[2].value(), 0.3);
}

TEST_F(AgentTest, AGangRunsThroughMpirunWithItsRanksNamed) {
  StartAgent();
  const auto key = Run(
      Assign(Shell("echo rank $RANK of $WORLD_SIZE local $LOCAL_RANK of $LOCAL_WORLD_SIZE"), 2));
  const agent::v1::Exited exited = scheduler_.WaitForExit(key);
  EXPECT_EQ(exited.record().cause(), v1::EXIT_CAUSE_UNSPECIFIED) << exited.record().message();
  EXPECT_EQ(scheduler_.Log(key, 0, false), "rank 0 of 2 local 0 of 2\n");
  EXPECT_EQ(scheduler_.Log(key, 1, false), "rank 1 of 2 local 1 of 2\n");
}

TEST_F(AgentTest, AFolderThatTheJobsUserMayNotEnterIsNamed) {
  const RunAs nobody = {65534, 65534, "nobody", "/"};
  const std::string inner = JoinPath(folder_, "closed/open");
  ASSERT_TRUE(MakeFolders(inner).ok());
  for (const mode_t mode : {0700, 0711}) {
    ASSERT_EQ(chmod(folder_.c_str(), 0711), 0);
    ASSERT_EQ(chmod(JoinPath(folder_, "closed").c_str(), mode), 0);
    const absl::Status status = CheckReach(nobody, JoinPath(inner, "program"));
    EXPECT_EQ(status.ok(), mode == 0711) << status;
    if (mode == 0700) {
      EXPECT_THAT(status.message(),
                  HasSubstr("who may not enter " + JoinPath(folder_, "closed") + " on the way"));
    }
    EXPECT_TRUE(CheckReach(RunAs(), JoinPath(inner, "program")).ok()) << "as the agent";
  }
}

TEST_F(AgentTest, ARootAgentRunsAProjectsJobsAsItsUser) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  ASSERT_EQ(chmod(folder_.c_str(), 0711), 0);
  StartAgent();
  const absl::StatusOr<RunAs> nobody = ResolveRunAs("nobody");
  ASSERT_TRUE(nobody.ok()) << nobody.status();
  // A clone below /root, which nobody else may enter: a gang needs a program of ours from there.
  const bool reaches = CheckReach(*nobody, JoinPath(options_.bin_folder, "trainyard-rank")).ok();
  for (const int ranks : {1, 2}) {
    agent::v1::Assignment assignment =
        Assign(Shell("id -un; echo \"$HOME\" >&2; echo x > $AIP_MODEL_DIR/m$RANK; "
                     "cat ../assignment.pb ../launch.json"),
               ranks);
    assignment.set_run_as("nobody");
    const auto key = Run(assignment);
    const agent::v1::Exited exited = scheduler_.WaitForExit(key);
    if (ranks > 1 && !reaches) {
      EXPECT_THAT(exited.record().message(), HasSubstr("runs as nobody, who may not enter"));
      continue;
    }
    EXPECT_EQ(exited.record().cause(), v1::USER_ERROR) << "it could read what is the agent's";
    // The rank that failed first: the gang ends with it, wherever the other one was.
    const int rank = exited.record().rank();
    EXPECT_EQ(scheduler_.Log(key, rank, false), "nobody\n") << exited.record().message();
    EXPECT_THAT(scheduler_.Log(key, rank, true), HasSubstr("ermission denied"));
    EXPECT_EQ(exited.outputs_size(), 1);
  }
  agent::v1::Assignment unknown = Assign({"/bin/true"});
  unknown.set_run_as("no-such-user");
  const agent::v1::Exited exited = scheduler_.WaitForExit(Run(unknown));
  EXPECT_TRUE(exited.refused());
  EXPECT_THAT(exited.record().message(), HasSubstr("no-such-user"));
}

TEST_F(AgentTest, ManyMembersAtOnceEndEachOnce) {
  StartAgent();
  std::vector<agent::v1::MemberKey> keys;
  for (int i = 0; i < 40; ++i) keys.push_back(Run(Assign({"/bin/true"})));
  for (const auto& key : keys) ASSERT_TRUE(WaitForReleased(key));
  std::map<uint64_t, int> ends;
  for (const auto& fact : scheduler_.received().facts) {
    if (fact.has_exited()) ++ends[fact.key().run_uid()];
  }
  EXPECT_EQ(ends.size(), 40u);
  for (const auto& [run, count] : ends) EXPECT_EQ(count, 1) << run;
}

}  // namespace
}  // namespace trainyard::worker
