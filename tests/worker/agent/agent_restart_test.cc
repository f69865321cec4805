// What survives: agents that stop and come back, schedulers that do, facts in between.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>

#include "common/file.h"
#include "tests/worker/agent/agent_fixture.h"

namespace trainyard::worker {
namespace {

using testing::HasSubstr;

// Goes on once `flag` exists.
std::string WaitFor(const std::string& flag) {
  return "echo ready; while [ ! -e " + flag + " ]; do sleep 0.02; done; echo went on";
}

int Count(const FakeScheduler::Received& received, const agent::v1::MemberKey& key,
          agent::v1::Fact::BodyCase body) {
  std::set<uint64_t> numbers;
  for (const agent::v1::Fact& fact : received.facts) {
    if (fact.body_case() == body && IdOf(fact.key()) == IdOf(key)) numbers.insert(fact.sequence());
  }
  return static_cast<int>(numbers.size());
}

TEST_F(AgentTest, ARestartedAgentAdoptsWhatRuns) {
  StartAgent();
  const std::string flag = folder_ + "/flag";
  const auto key = Run(Assign(Shell(WaitFor(flag))));
  ASSERT_TRUE(WaitForRunning(key));
  ASSERT_TRUE(WaitForLog(key, "ready"));
  const pid_t supervisor = AttemptFolder(AttemptPath(key)).Supervisor();
  ASSERT_GT(supervisor, 0);
  StopAgent();
  EXPECT_EQ(kill(supervisor, 0), 0) << "a stopped agent must change nothing";
  StartAgent();
  ASSERT_TRUE(scheduler_.WaitFor([](const auto& r) { return r.hellos.size() >= 2; }));
  ASSERT_EQ(scheduler_.received().hellos.back().members_size(), 1);
  EXPECT_EQ(AttemptFolder(AttemptPath(key)).Supervisor(), supervisor);
  ASSERT_TRUE(WriteFileAtomically(flag, "").ok());
  EXPECT_EQ(scheduler_.WaitForExit(key).record().cause(), v1::EXIT_CAUSE_UNSPECIFIED);
  EXPECT_EQ(scheduler_.Log(key, 0, false), "ready\nwent on\n");
  EXPECT_EQ(Count(scheduler_.received(), key, agent::v1::Fact::kExited), 1);
}

TEST_F(AgentTest, WhatEndedWhileNoAgentLookedIsTold) {
  StartAgent();
  const std::string flag = folder_ + "/flag";
  const auto key = Run(Assign(Shell(WaitFor(flag) + "; echo late >&2; exit 9")));
  ASSERT_TRUE(WaitForLog(key, "ready"));
  StopAgent();
  ASSERT_TRUE(WriteFileAtomically(flag, "").ok());
  ASSERT_TRUE(WaitForFile(AttemptPath(key) + "/exit.json"));
  StartAgent();
  const agent::v1::Exited exited = scheduler_.WaitForExit(key);
  EXPECT_EQ(exited.record().exit_code(), 9);
  EXPECT_EQ(scheduler_.Log(key, 0, true), "late\n");
  EXPECT_EQ(scheduler_.Log(key, 0, false), "ready\nwent on\n");
  EXPECT_TRUE(WaitForReleased(key));
}

TEST_F(AgentTest, AKilledSupervisorIsAnInternalFaultAndLeavesNoOrphan) {
  StartAgent();
  const auto key = Run(Assign(Shell("sleep 1000 & echo ready $$; wait")));
  ASSERT_TRUE(WaitForLog(key, "ready"));
  const pid_t program = std::stoi(scheduler_.Log(key, 0, false).substr(sizeof "ready"));
  const pid_t supervisor = AttemptFolder(AttemptPath(key)).Supervisor();
  ASSERT_EQ(kill(supervisor, SIGKILL), 0);
  EXPECT_EQ(scheduler_.WaitForExit(key).record().cause(), v1::INTERNAL);
  EXPECT_TRUE(WaitForFile("/proc/" + std::to_string(program), false));
}

TEST_F(AgentTest, ASupervisorThatDiedWithTheAgentAwayIsFound) {
  StartAgent();
  const auto key = Run(Assign({"/bin/sleep", "1000"}));
  ASSERT_TRUE(WaitForRunning(key));
  const pid_t supervisor = AttemptFolder(AttemptPath(key)).Supervisor();
  StopAgent();
  kill(supervisor, SIGKILL);
  // It is a child of this test, as the agent was part of it.
  ASSERT_EQ(waitpid(supervisor, nullptr, 0), supervisor);
  StartAgent();
  EXPECT_EQ(scheduler_.WaitForExit(key).record().cause(), v1::INTERNAL);
  EXPECT_TRUE(WaitForReleased(key));
}

TEST_F(AgentTest, FactsAreSaidAgainUntilAcknowledged) {
  scheduler_.set_ack_facts(false);
  StartAgent();
  const auto key = Run(Assign({"/bin/true"}));
  ASSERT_TRUE(WaitForReleased(key));
  EXPECT_TRUE(Exists(AttemptPath(key))) << "removed before the end was acknowledged";
  StopAgent();
  const size_t before = scheduler_.received().facts.size();
  StartAgent();
  ASSERT_TRUE(scheduler_.WaitFor([before](const auto& r) { return r.facts.size() >= before + 3; }));
  const FakeScheduler::Received received = scheduler_.received();
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(received.facts[before + i].SerializeAsString(),
              received.facts[i].SerializeAsString());
  }
  EXPECT_EQ(received.hellos.back().first_unacked_fact(), 1u);
  // Only now are they acknowledged, and the folder goes.
  scheduler_.set_ack_facts(true);
  StopAgent();
  StartAgent();
  EXPECT_TRUE(WaitForFile(AttemptPath(key), false));
  EXPECT_EQ(Count(scheduler_.received(), key, agent::v1::Fact::kExited), 1);
}

TEST_F(AgentTest, ASchedulerThatRestartsFindsTheProgramRunning) {
  StartAgent();
  const std::string flag = folder_ + "/flag";
  const auto key = Run(Assign(Shell(WaitFor(flag))));
  ASSERT_TRUE(WaitForLog(key, "ready"));
  scheduler_.Stop();
  ASSERT_TRUE(WriteFileAtomically(flag, "").ok());
  ASSERT_TRUE(WaitForFile(AttemptPath(key) + "/exit.json"));
  scheduler_.set_incarnation(2);
  scheduler_.Start();
  EXPECT_EQ(scheduler_.WaitForExit(key).record().cause(), v1::EXIT_CAUSE_UNSPECIFIED);
  EXPECT_EQ(scheduler_.Log(key, 0, false), "ready\nwent on\n");
  EXPECT_EQ(scheduler_.received().hellos.back().last_incarnation(), 1u);
}

// Longer away than an end waits for its log: the end is told first, the log is not thrown away.
TEST_F(AgentTest, TheEndOfALogIsKeptForASchedulerThatIsAway) {
  StartAgent();
  const std::string flag = folder_ + "/flag";
  constexpr size_t kPrinted = 20 << 20;
  const auto key = Run(Assign(
      Shell(WaitFor(flag) + "; head -c " + std::to_string(kPrinted) + " /dev/zero | tr '\\0' x")));
  ASSERT_TRUE(WaitForLog(key, "ready"));
  scheduler_.Stop();
  ASSERT_TRUE(WriteFileAtomically(flag, "").ok());
  ASSERT_TRUE(WaitForFile(AttemptPath(key) + "/exit.json"));
  absl::SleepFor(absl::Seconds(11));
  scheduler_.Start();
  EXPECT_EQ(scheduler_.WaitForExit(key).record().cause(), v1::EXIT_CAUSE_UNSPECIFIED);
  EXPECT_TRUE(scheduler_.WaitFor([&](const FakeScheduler::Received& received) {
    size_t bytes = 0;
    std::map<int64_t, size_t> chunks;
    for (const auto& batch : received.telemetry) {
      for (const auto& chunk : batch.logs()) chunks[chunk.offset()] = chunk.data().size();
    }
    for (const auto& [offset, size] : chunks) bytes += size;
    return bytes >= kPrinted;
  })) << scheduler_.Log(key, 0, false).size();
  EXPECT_TRUE(WaitForFile(AttemptPath(key), false)) << "and then the folder goes";
}

TEST_F(AgentTest, AnOlderSchedulerIsNotObeyed) {
  scheduler_.set_incarnation(5);
  StartAgent();
  ASSERT_TRUE(scheduler_.WaitFor([](const auto& r) { return !r.hellos.empty(); }));
  const auto first = Run(Assign({"/bin/true"}));
  ASSERT_TRUE(WaitForReleased(first));
  scheduler_.Stop();
  scheduler_.set_incarnation(4);
  const auto key = Run(Assign({"/bin/true"}));
  const size_t hellos = scheduler_.received().hellos.size();
  scheduler_.Start();
  ASSERT_TRUE(
      scheduler_.WaitFor([hellos](const auto& r) { return r.hellos.size() >= hellos + 3; }));
  EXPECT_FALSE(Exists(AttemptPath(key)));
}

TEST_F(AgentTest, HeartbeatsGoOnAndALeaseIsHandedOn) {
  scheduler_.set_lease(2000, 20);
  StartAgent();
  agent::v1::Assignment assignment = Assign({"/bin/sleep", "1000"});
  assignment.set_strict_lease(true);
  assignment.set_grace_ms(100);
  const auto key = Run(assignment);
  ASSERT_TRUE(WaitForRunning(key));
  const int before = scheduler_.received().heartbeats;
  ASSERT_TRUE(scheduler_.WaitFor([before](const auto& r) { return r.heartbeats >= before + 150; }));
  EXPECT_TRUE(AttemptFolder(AttemptPath(key)).Supervisor() > 0) << "stopped in spite of its lease";
  // Without a word a strict member stops by itself, agent or not.
  StopAgent();
  EXPECT_TRUE(WaitForFile(AttemptPath(key) + "/exit.json"));
  const absl::StatusOr<ExitReport> report = AttemptFolder(AttemptPath(key)).ReadExit();
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->cause, "NODE_LOST");
}

TEST_F(AgentTest, OneAgentAFolder) {
  StartAgent();
  EventLoop loop(&RealClock());
  Agent second(&loop, options_, AgentChannels());
  const absl::Status started = second.Start();
  EXPECT_EQ(started.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(started.message()), HasSubstr("--work_dir"));
}

}  // namespace
}  // namespace trainyard::worker
