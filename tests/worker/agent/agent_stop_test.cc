// Stops: of a running program, of one that resists, before the start, of what nobody wants.
#include <gmock/gmock.h>

#include "common/file.h"
#include "tests/worker/agent/agent_fixture.h"

namespace trainyard::worker {
namespace {

using testing::HasSubstr;

// Prints "ready" and waits; on SIGTERM it saves and ends well.
constexpr char kPolite[] =
    "trap 'echo saved > \"$AIP_CHECKPOINT_DIR/state\"; exit 0' TERM; echo ready; "
    "while :; do sleep 0.05; done";

TEST_F(AgentTest, CancelLetsAProgramSaveAndSaysWhy) {
  StartAgent();
  const auto key = Run(Assign(Shell(kPolite)));
  ASSERT_TRUE(WaitForLog(key, "ready"));
  Want(key, agent::v1::STOPPED, agent::v1::STOP_CANCEL);
  const agent::v1::Exited exited = scheduler_.WaitForExit(key);
  EXPECT_EQ(exited.record().cause(), v1::CANCELLED_CAUSE);
  EXPECT_TRUE(exited.stopped_on_request());
  ASSERT_EQ(exited.outputs_size(), 1);
  EXPECT_EQ(store_.GetFolder(exited.outputs(0).digest())["state"], "saved\n");
}

TEST_F(AgentTest, EachReasonBecomesItsCause) {
  StartAgent();
  const std::pair<agent::v1::StopReason, v1::ExitCause> cases[] = {
      {agent::v1::STOP_PREEMPT, v1::PREEMPTED_CAUSE},
      {agent::v1::STOP_TIMEOUT, v1::TIMED_OUT},
      {agent::v1::STOP_EARLY, v1::STOPPED_EARLY},
      {agent::v1::STOP_PAUSE, v1::PREEMPTED_CAUSE},
  };
  for (const auto& [reason, cause] : cases) {
    const auto key = Run(Assign(Shell(kPolite)));
    ASSERT_TRUE(WaitForLog(key, "ready"));
    Want(key, agent::v1::STOPPED, reason);
    EXPECT_EQ(scheduler_.WaitForExit(key).record().cause(), cause)
        << agent::v1::StopReason_Name(reason);
  }
}

TEST_F(AgentTest, AProgramThatResistsIsKilledAfterTheGrace) {
  StartAgent();
  agent::v1::Assignment assignment =
      Assign(Shell("trap '' TERM; echo ready; while :; do sleep 0.05; done"));
  assignment.set_grace_ms(200);
  const auto key = Run(assignment);
  ASSERT_TRUE(WaitForLog(key, "ready"));
  Want(key, agent::v1::STOPPED, agent::v1::STOP_CANCEL);
  EXPECT_EQ(scheduler_.WaitForExit(key).record().cause(), v1::CANCELLED_CAUSE);
}

TEST_F(AgentTest, AStopRightBehindTheStartIsNotLost) {
  StartAgent();
  ASSERT_TRUE(scheduler_.WaitFor([](const auto& r) { return !r.hellos.empty(); }));
  for (int i = 0; i < 5; ++i) {
    const auto key = Run(Assign({"/bin/sleep", "1000"}));
    Want(key, agent::v1::STOPPED, agent::v1::STOP_CANCEL);
    EXPECT_EQ(scheduler_.WaitForExit(key).record().cause(), v1::CANCELLED_CAUSE);
    EXPECT_TRUE(WaitForReleased(key));
  }
}

TEST_F(AgentTest, AGangThroughMpirunStopsWithItsSave) {
  StartAgent();
  const auto key =
      Run(Assign(Shell("trap 'sleep 1.5; echo saved $RANK >> \"$TRAINYARD_JOB_DIR/r$RANK\"; "
                       "exit 0' TERM; echo ready $RANK; while :; do sleep 0.05; done"),
                 2));
  ASSERT_TRUE(WaitForLog(key, "ready 0"));
  ASSERT_TRUE(WaitForLog(key, "ready 1"));
  Want(key, agent::v1::STOPPED, agent::v1::STOP_PREEMPT);
  const agent::v1::Exited exited = scheduler_.WaitForExit(key);
  EXPECT_EQ(exited.record().cause(), v1::PREEMPTED_CAUSE) << exited.record().message();
  ASSERT_EQ(exited.outputs_size(), 1);
  const auto files = store_.GetFolder(exited.outputs(0).digest());
  // Longer than mpirun would have waited after a signal of its own.
  EXPECT_EQ(files.count("r0"), 1u);
  EXPECT_EQ(files.count("r1"), 1u);
}

TEST_F(AgentTest, WhatNobodyWantsAnyMoreIsStopped) {
  StartAgent();
  const auto key = Run(Assign(Shell(kPolite)));
  ASSERT_TRUE(WaitForLog(key, "ready"));
  scheduler_.Remove(key);
  EXPECT_EQ(scheduler_.WaitForExit(key).record().cause(), v1::NODE_LOST);
}

TEST_F(AgentTest, AStopForAMemberThatNeverCameIsAnsweredAtOnce) {
  StartAgent();
  const auto key = Assign({"/bin/true"}).key();
  Want(key, agent::v1::STOPPED, agent::v1::STOP_CANCEL);
  const agent::v1::Exited exited = scheduler_.WaitForExit(key);
  EXPECT_TRUE(exited.refused());
  EXPECT_TRUE(exited.stopped_on_request());
  EXPECT_TRUE(WaitForReleased(key));
}

TEST_F(AgentTest, TheTimeLimitIsTheSupervisorsOwn) {
  StartAgent();
  agent::v1::Assignment assignment = Assign({"/bin/sleep", "1000"});
  assignment.set_timeout_ms(100);
  const agent::v1::Exited exited = scheduler_.WaitForExit(Run(assignment));
  EXPECT_EQ(exited.record().cause(), v1::TIMED_OUT);
  EXPECT_THAT(exited.record().message(), HasSubstr("0.1 s"));
}

}  // namespace
}  // namespace trainyard::worker
