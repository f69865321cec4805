// The agent's logic by scenes: what comes in, which effects come out, in order.
#include "worker/core/agent_core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/core/agent_scene.h"

namespace trainyard::worker {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr MemberId kOne{1, 1, 0};
constexpr MemberId kTwo{2, 1, 0};

TEST(AgentCoreTest, SaysHelloThenTakesTheWholeDesiredState) {
  AgentScene scene;
  EXPECT_THAT(scene.Connect({WantRun(kOne)}),
              ElementsAre("hello 0 members", "incarnation 1", "stage 1-1-0", "ack 0"));
  EXPECT_EQ(scene.core().store_address(), "store:1");
}

TEST(AgentCoreTest, AMembersLifeFromOrderToRemovedFolder) {
  AgentScene scene;
  scene.Connect();
  EXPECT_THAT(scene.Delta({WantRun(kOne)}), ElementsAre("stage 1-1-0", "ack 1"));
  EXPECT_THAT(scene.Staged(kOne), ElementsAre("launch 1-1-0"));
  EXPECT_THAT(scene.Started(kOne), ElementsAre("fact running 1-1-0"));
  EXPECT_THAT(scene.Ended(kOne), ElementsAre("publish 1-1-0"));
  EXPECT_THAT(scene.Published(kOne),
              ElementsAre("fact exited 1-1-0 EXIT_CAUSE_UNSPECIFIED", "fact released 1-1-0"));
  EXPECT_THAT(scene.AckAll(), ElementsAre("drop 3", "clean 1-1-0"));
  EXPECT_THAT(scene.Cleaned(kOne), IsEmpty());
  EXPECT_THAT(scene.core().Members(), IsEmpty());
  // Asked for again, by a scheduler that has forgotten its end: the same epoch is never started
  // again, and the end is told once more.
  EXPECT_THAT(scene.Delta({WantRun(kOne)}),
              ElementsAre("fact exited 1-1-0 NODE_LOST refused", "fact released 1-1-0", "ack 2"));
  EXPECT_THAT(scene.Tick(), IsEmpty()) << "once, until it is acknowledged";
  EXPECT_THAT(scene.Delta({}, {kOne}), ElementsAre("ack 3"));
}

TEST(AgentCoreTest, AFactIsStoredBeforeItIsSent) {
  AgentScene scene;
  scene.Connect();
  scene.Delta({WantRun(kOne)});
  scene.Staged(kOne);
  scene.Started(kOne);
  ASSERT_EQ(scene.raw().size(), 2u);
  const auto* const stored = std::get_if<StoreFact>(&scene.raw()[0]);
  const auto* const sent = std::get_if<SendToScheduler>(&scene.raw()[1]);
  ASSERT_NE(stored, nullptr);
  ASSERT_NE(sent, nullptr);
  EXPECT_EQ(stored->fact.SerializeAsString(), sent->message.fact().SerializeAsString());
  EXPECT_EQ(stored->fact.sequence(), 1u);
}

TEST(AgentCoreTest, TwoPhasesTellPreparedOnceAndWaitForTheOrder) {
  AgentScene scene;
  scene.Connect({WantPrepared(kOne)});
  EXPECT_THAT(scene.Staged(kOne), ElementsAre("fact prepared 1-1-0 port 4242"));
  EXPECT_THAT(scene.Delta({WantPrepared(kOne)}), ElementsAre("ack 1"));
  agent::v1::DesiredMember run = WantRun(kOne);
  run.clear_assignment();  // the agent holds it
  EXPECT_THAT(scene.Delta({run}), ElementsAre("launch 1-1-0", "ack 2"));
  EXPECT_THAT(scene.Delta({run}), ElementsAre("ack 3"));
}

TEST(AgentCoreTest, AnAssignmentMayBeCompletedBeforeTheStart) {
  AgentScene scene;
  scene.Connect({WantPrepared(kOne)});
  scene.Staged(kOne);
  agent::v1::DesiredMember run = WantRun(kOne);
  run.mutable_assignment()->add_peers()->set_address("10.0.0.9");
  scene.Delta({run});
  EXPECT_EQ(scene.core().FindAssignment(kOne)->peers(0).address(), "10.0.0.9");
  // Afterwards it is what runs.
  run.mutable_assignment()->mutable_peers(0)->set_address("10.0.0.10");
  scene.Delta({run});
  EXPECT_EQ(scene.core().FindAssignment(kOne)->peers(0).address(), "10.0.0.9");
}

TEST(AgentCoreTest, AFailedStagingRefusesTheMember) {
  AgentScene scene;
  scene.Connect({WantRun(kOne)});
  EXPECT_THAT(scene.Staged(kOne, absl::NotFoundError("package x is gone")),
              ElementsAre("fact exited 1-1-0 STAGING refused", "fact released 1-1-0"));
  const auto& fact = std::get<StoreFact>(scene.raw()[0]).fact;
  EXPECT_THAT(fact.exited().record().message(), HasSubstr("package x"));
  EXPECT_EQ(fact.exited().record().node(), "node-1");
  EXPECT_EQ(fact.exited().record().rank(), -1);
}

TEST(AgentCoreTest, ARunWithoutAssignmentIsRefused) {
  AgentScene scene;
  scene.Connect();
  agent::v1::DesiredMember run = WantRun(kOne);
  run.clear_assignment();
  EXPECT_THAT(scene.Delta({run}),
              ElementsAre("fact exited 1-1-0 INTERNAL refused", "fact released 1-1-0", "ack 1"));
  EXPECT_THAT(scene.Delta({run}), ElementsAre("ack 2"));
}

TEST(AgentCoreTest, ALaunchThatFailedPublishesNothing) {
  AgentScene scene;
  scene.Connect({WantRun(kOne)});
  scene.Staged(kOne);
  scene.core().Ended(kOne, RefusedEnd(v1::LAUNCH, "no such file"), scene.now());
  EXPECT_THAT(scene.Effects(),
              ElementsAre("fact exited 1-1-0 LAUNCH refused", "fact released 1-1-0"));
}

// Stops, by the phase in which they find the member.

TEST(AgentCoreTest, AStopWhileStagingStartsNothing) {
  AgentScene scene;
  scene.Connect({WantRun(kOne)});
  EXPECT_THAT(scene.Delta({WantStopped(kOne)}),
              ElementsAre("unstage 1-1-0", "fact exited 1-1-0 CANCELLED_CAUSE refused on request",
                          "fact released 1-1-0", "ack 1"));
  EXPECT_THAT(scene.Staged(kOne), IsEmpty());
}

TEST(AgentCoreTest, AStopWhilePreparedStartsNothing) {
  AgentScene scene;
  scene.Connect({WantPrepared(kOne)});
  scene.Staged(kOne);
  EXPECT_THAT(scene.Delta({WantStopped(kOne, agent::v1::STOP_PEER_FAILED)}),
              ElementsAre("fact exited 1-1-0 CANCELLED_CAUSE refused on request",
                          "fact released 1-1-0", "ack 1"));
}

TEST(AgentCoreTest, AStopWhileRunningIsPassedOnOncePerReason) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kOne);
  EXPECT_THAT(scene.Delta({WantStopped(kOne, agent::v1::STOP_EARLY)}),
              ElementsAre("stop 1-1-0 STOP_EARLY", "ack 2"));
  EXPECT_THAT(scene.Delta({WantStopped(kOne, agent::v1::STOP_EARLY)}), ElementsAre("ack 3"));
  EXPECT_THAT(scene.Delta({WantStopped(kOne)}), ElementsAre("stop 1-1-0 STOP_CANCEL", "ack 4"));
  EXPECT_THAT(scene.Ended(kOne, v1::CANCELLED_CAUSE), ElementsAre("publish 1-1-0"));
  // A stop does not take the results away.
  EXPECT_THAT(scene.Delta({WantStopped(kOne)}), ElementsAre("ack 5"));
  EXPECT_THAT(scene.Published(kOne), Contains("fact exited 1-1-0 CANCELLED_CAUSE"));
}

TEST(AgentCoreTest, AStopBetweenLaunchAndStartReachesTheProgram) {
  AgentScene scene;
  scene.Connect({WantRun(kOne)});
  scene.Staged(kOne);
  EXPECT_THAT(scene.Delta({WantStopped(kOne)}), ElementsAre("stop 1-1-0 STOP_CANCEL", "ack 1"));
  EXPECT_THAT(scene.Started(kOne), IsEmpty()) << "stopping, not running";
  EXPECT_THAT(scene.Ended(kOne, v1::CANCELLED_CAUSE), ElementsAre("publish 1-1-0"));
}

TEST(AgentCoreTest, AStopForAnUnknownMemberIsAnsweredOnce) {
  AgentScene scene;
  EXPECT_THAT(scene.Connect({WantStopped(kOne)}),
              Contains("fact exited 1-1-0 CANCELLED_CAUSE refused on request"));
  EXPECT_THAT(scene.Delta({WantStopped(kOne)}), ElementsAre("ack 1"));
}

TEST(AgentCoreTest, EachStopReasonOfAnUnstartedMemberHasItsCause) {
  const std::pair<agent::v1::StopReason, v1::ExitCause> cases[] = {
      {agent::v1::STOP_CANCEL, v1::CANCELLED_CAUSE},
      {agent::v1::STOP_PREEMPT, v1::PREEMPTED_CAUSE},
      {agent::v1::STOP_PAUSE, v1::PREEMPTED_CAUSE},
      {agent::v1::STOP_TIMEOUT, v1::TIMED_OUT},
      {agent::v1::STOP_EARLY, v1::STOPPED_EARLY},
      {agent::v1::STOP_STALE, v1::NODE_LOST},
      {agent::v1::STOP_PEER_FAILED, v1::CANCELLED_CAUSE},
  };
  for (const auto& [reason, cause] : cases) {
    EXPECT_EQ(StoppedEnd(reason).record.cause(), cause) << agent::v1::StopReason_Name(reason);
    EXPECT_TRUE(StoppedEnd(reason).stopped_on_request);
  }
}

TEST(AgentCoreTest, AMemberInNoDesiredStateIsStopped) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kOne);
  EXPECT_THAT(scene.Delta({}, {kOne}), ElementsAre("stop 1-1-0 STOP_STALE", "ack 2"));
}

TEST(AgentCoreTest, AMemberThatIsMissingAfterAReconnectIsStopped) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kOne);
  scene.BringUp(kTwo);
  scene.Disconnect();
  EXPECT_THAT(scene.Connect({WantRun(kTwo)}), Contains("stop 1-1-0 STOP_STALE"));
  EXPECT_EQ(scene.core().PhaseOf(kTwo), AgentCore::Phase::kRunning);
}

// Epochs.

TEST(AgentCoreTest, ANewerEpochWaitsForTheOlderOnesProcesses) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kOne);
  const MemberId newer{1, 2, 0};
  EXPECT_THAT(scene.Delta({WantRun(newer)}, {kOne}),
              ElementsAre("stage 1-2-0", "stop 1-1-0 STOP_STALE", "ack 2"));
  EXPECT_THAT(scene.Staged(newer), IsEmpty()) << "two gangs of one run";
  EXPECT_THAT(scene.Ended(kOne, v1::NODE_LOST), ElementsAre("publish 1-1-0", "launch 1-2-0"));
}

TEST(AgentCoreTest, AnOlderEpochIsNotStartedAnyMore) {
  AgentScene scene;
  const MemberId newer{1, 2, 0};
  scene.Connect();
  scene.BringUp(newer);
  EXPECT_THAT(scene.Delta({WantRun(kOne)}), ElementsAre("ack 2"));
  scene.Ended(newer);
  scene.Published(newer);
  scene.AckAll();
  scene.Cleaned(newer);
  EXPECT_THAT(scene.Delta({WantRun(kOne)}), ElementsAre("ack 3"));
}

TEST(AgentCoreTest, MembersOfOneGangOnOneNodeDoNotWaitForEachOther) {
  AgentScene scene;
  const MemberId peer{1, 1, 1};
  scene.Connect({WantRun(kOne), WantRun(peer)});
  EXPECT_THAT(scene.Staged(kOne), ElementsAre("launch 1-1-0"));
  EXPECT_THAT(scene.Staged(peer), ElementsAre("launch 1-1-1"));
}

// Deltas.

TEST(AgentCoreTest, ARepeatedDeltaChangesNothingAndAGapReconnects) {
  AgentScene scene;
  scene.Connect();
  scene.Delta({WantRun(kOne)});
  scene.version = 0;
  EXPECT_THAT(scene.Delta({WantRun(kTwo)}), ElementsAre("ack 1")) << "version 1 came twice";
  scene.version = 5;
  EXPECT_THAT(scene.Delta({WantRun(kTwo)}), ElementsAre("reconnect"));
}

TEST(AgentCoreTest, MessagesOutsideASessionAreIgnored) {
  AgentScene scene;
  EXPECT_THAT(scene.Delta({WantRun(kOne)}), IsEmpty());
  EXPECT_THAT(scene.Ack(5), IsEmpty());
  scene.core().Connected(scene.now());
  EXPECT_THAT(scene.Delta({WantRun(kOne)}), ElementsAre("hello 0 members")) << "before Welcome";
}

TEST(AgentCoreTest, AnOlderIncarnationIsNotObeyed) {
  AgentScene scene(7);
  EXPECT_THAT(scene.Connect({WantRun(kOne)}, 6), ElementsAre("hello 0 members", "reconnect"));
  EXPECT_THAT(scene.core().Members(), IsEmpty());
  EXPECT_THAT(scene.Connect({}, 8), Contains("incarnation 8"));
}

TEST(AgentCoreTest, HappeningsOfUnknownMembersChangeNothing) {
  AgentScene scene;
  scene.Connect();
  EXPECT_THAT(scene.Staged(kOne), IsEmpty());
  EXPECT_THAT(scene.Started(kOne), IsEmpty());
  EXPECT_THAT(scene.Ended(kOne), IsEmpty());
  EXPECT_THAT(scene.Published(kOne), IsEmpty());
  EXPECT_THAT(scene.Cleaned(kOne), IsEmpty());
  scene.core().CheckpointDurable(kOne, 1, "tree", scene.now());
  scene.core().MetricsSeen(kOne, {"a"}, 1);
  EXPECT_THAT(scene.Effects(), IsEmpty());
  EXPECT_EQ(scene.core().PortOf(kOne), 0);
  EXPECT_EQ(scene.core().FindAssignment(kOne), nullptr);
}

// Facts.

TEST(AgentCoreTest, FactsMadeWithoutASessionAreSaidInTheNext) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kOne);
  scene.Disconnect();
  scene.Ended(kOne);
  scene.Published(kOne);
  for (const Effect& effect : scene.raw()) {
    EXPECT_FALSE(std::holds_alternative<SendToScheduler>(effect));
  }
  scene.core().Connected(scene.now());
  scene.Welcome({WantRun(kOne)});
  std::vector<uint64_t> sent;
  uint64_t first = 0;
  for (const Effect& effect : scene.raw()) {
    const auto* const message = std::get_if<SendToScheduler>(&effect);
    if (message == nullptr) continue;
    if (message->message.has_hello()) first = message->message.hello().first_unacked_fact();
    if (message->message.has_fact()) sent.push_back(message->message.fact().sequence());
  }
  EXPECT_EQ(first, 1u);
  EXPECT_THAT(sent, ElementsAre(1, 2, 3));
}

TEST(AgentCoreTest, AnAckOfRunningDoesNotRemoveTheFolder) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kOne);
  EXPECT_THAT(scene.Ack(1), ElementsAre("drop 1"));
  scene.Ended(kOne);
  scene.Published(kOne);
  EXPECT_THAT(scene.Ack(1), IsEmpty());
  EXPECT_THAT(scene.Ack(2), ElementsAre("drop 2", "clean 1-1-0"));
  EXPECT_THAT(scene.Ack(3), ElementsAre("drop 3"));
}

TEST(AgentCoreTest, CheckpointsAreFactsUntilTheEndIsTold) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kOne);
  scene.core().CheckpointDurable(kOne, 10, "tree10", scene.now());
  EXPECT_THAT(scene.Effects(), ElementsAre("fact checkpoint 1-1-0 step 10"));
  scene.Ended(kOne);
  scene.core().CheckpointDurable(kOne, 20, "tree20", scene.now());
  EXPECT_THAT(scene.Effects(), ElementsAre("fact checkpoint 1-1-0 step 20"));
  scene.Published(kOne);
  scene.core().CheckpointDurable(kOne, 30, "tree30", scene.now());
  EXPECT_THAT(scene.Effects(), IsEmpty());
}

TEST(AgentCoreTest, ExitedCarriesOutputsStepsAndNames) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kOne);
  MemberEnd end;
  end.last_step = 5;
  end.metrics_seen = {"loss"};
  scene.core().Ended(kOne, end, scene.now());
  scene.core().MetricsSeen(kOne, {"accuracy", "loss"}, 7);
  v1::OutputTree model;
  model.set_kind("model");
  scene.core().Published(kOne, absl::OkStatus(), {model}, scene.now());
  scene.Effects();
  const agent::v1::Exited& exited = scene.core().outbox().facts()[1].exited();
  EXPECT_EQ(exited.outputs(0).kind(), "model");
  EXPECT_EQ(exited.last_step(), 7);
  EXPECT_THAT(exited.metrics_seen(), ElementsAre("accuracy", "loss"));
}

TEST(AgentCoreTest, UnstoredOutputsTurnSuccessIntoAnInternalFaultOnly) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kOne);
  scene.BringUp(kTwo);
  scene.Ended(kOne);
  scene.Ended(kTwo, v1::USER_ERROR);
  EXPECT_THAT(scene.Published(kOne, absl::DataLossError("disk")),
              Contains("fact exited 1-1-0 INTERNAL"));
  EXPECT_THAT(scene.Published(kTwo, absl::DataLossError("disk")),
              Contains("fact exited 2-1-0 USER_ERROR"));
}

// What goes on from an older checkpoint than it declared says why.
TEST(AgentCoreTest, AStoppedMemberTellsWhatCouldNotBeStored) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kOne);
  scene.BringUp(kTwo);
  for (const MemberId& id : {kOne, kTwo}) {
    scene.core().CheckpointDurable(id, 10, "tree", scene.now());
    scene.core().CheckpointLost(id, 20, absl::UnavailableError("no store"));
  }
  scene.core().CheckpointDurable(kTwo, 30, "tree", scene.now());
  scene.Effects();
  std::map<MemberId, std::string> messages;
  for (const MemberId& id : {kOne, kTwo}) {
    scene.Delta({WantStopped(id, agent::v1::STOP_PREEMPT)});
    scene.Ended(id, v1::PREEMPTED_CAUSE);
    scene.Published(id, absl::UnavailableError("disk full"));
    for (const Effect& effect : scene.raw()) {
      const auto* const stored = std::get_if<StoreFact>(&effect);
      if (stored != nullptr && stored->fact.has_exited()) {
        messages[id] = stored->fact.exited().record().message();
      }
    }
  }
  EXPECT_THAT(messages[kOne], HasSubstr("Its outputs could not be stored: disk full"));
  EXPECT_THAT(messages[kOne], HasSubstr("checkpoint of step 20 could not be stored: no store"));
  EXPECT_THAT(messages[kTwo], Not(HasSubstr("checkpoint of step")));
}

TEST(AgentCoreTest, InventoryChangesAreFacts) {
  AgentScene scene;
  scene.Connect();
  v1::NodeInventory inventory;
  inventory.set_node_id("node-1");
  inventory.set_cores(3);
  scene.core().InventoryChanged(inventory, scene.now());
  EXPECT_THAT(scene.Effects(), ElementsAre("fact inventory"));
  scene.Disconnect();
  scene.core().Connected(scene.now());
  scene.Effects();
  const auto& hello = std::get<SendToScheduler>(scene.raw()[0]).message.hello();
  EXPECT_EQ(hello.inventory().cores(), 3);
}

TEST(AgentCoreTest, AMachineThatLeavesStopsWhatTheSchedulerDidNot) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kOne);
  scene.BringUp(kTwo);
  constexpr MemberId kPrepared{3, 1, 0};
  scene.Delta({WantPrepared(kPrepared)});
  scene.Staged(kPrepared);
  scene.Delta({WantStopped(kTwo)});
  scene.Disconnect();
  scene.core().Leave(scene.now());
  EXPECT_THAT(scene.Effects(), ElementsAre("stop 1-1-0 STOP_PREEMPT",
                                           "fact exited 3-1-0 PREEMPTED_CAUSE refused on request",
                                           "fact released 3-1-0"));
  scene.core().Leave(scene.now());
  EXPECT_THAT(scene.Effects(), IsEmpty());
}

TEST(AgentCoreTest, EndOfReadsAnExitReport) {
  ExitReport report;
  report.cause = "OOM_HOST";
  report.message = "m";
  report.rank = 3;
  report.signal = 9;
  report.stop = "STOP_CANCEL";
  report.last_step = 8;
  const MemberEnd end = EndOf(report);
  EXPECT_EQ(end.record.cause(), v1::OOM_HOST);
  EXPECT_EQ(end.record.rank(), 3);
  EXPECT_EQ(end.record.signal(), 9);
  EXPECT_TRUE(end.stopped_on_request);
  EXPECT_TRUE(end.started);
  EXPECT_EQ(end.record.message(), "m");
  report.reason = "PROGRAM_FAILED";
  EXPECT_EQ(EndOf(report).record.message(), "m");
  report.reason = "ARGUMENT_REFUSED";
  EXPECT_EQ(EndOf(report).record.message(), "ARGUMENT_REFUSED: m");
  report.cause = "A_NEWER_CAUSE";
  EXPECT_EQ(EndOf(report).record.cause(), v1::INTERNAL);
}

}  // namespace
}  // namespace trainyard::worker
