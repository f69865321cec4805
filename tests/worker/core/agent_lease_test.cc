// Time in the agent's logic: lease, heartbeats, deadlines; and adoption after a restart.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/core/agent_scene.h"
#include "worker/core/agent_core.h"

namespace trainyard::worker {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

constexpr MemberId kOne{1, 1, 0};
constexpr MemberId kTwo{2, 1, 0};

TEST(LeaseTest, RunsFromTheSendingOfWhatWasAnswered) {
  Lease lease;
  EXPECT_FALSE(lease.Valid(absl::ZeroDuration()));
  lease.Begin(absl::Seconds(100), absl::Seconds(10), absl::Seconds(1));
  EXPECT_TRUE(lease.Valid(absl::Seconds(109)));
  EXPECT_FALSE(lease.Valid(absl::Seconds(110)));
  uint64_t sequence = 0;
  EXPECT_FALSE(lease.HeartbeatDue(absl::Seconds(100.5), &sequence));
  ASSERT_TRUE(lease.HeartbeatDue(absl::Seconds(101), &sequence));
  EXPECT_FALSE(lease.HeartbeatDue(absl::Seconds(101.5), &sequence));
  EXPECT_TRUE(lease.Renew(sequence));
  EXPECT_EQ(lease.until(), absl::Seconds(111)) << "not from the answer's arrival";
  EXPECT_FALSE(lease.Renew(sequence)) << "twice";
  EXPECT_FALSE(lease.Renew(77)) << "never sent";
}

TEST(LeaseTest, AnAnswerToALaterHeartbeatCoversTheEarlierOnes) {
  Lease lease;
  lease.Begin(absl::ZeroDuration(), absl::Seconds(10), absl::Seconds(1));
  uint64_t first = 0;
  uint64_t second = 0;
  ASSERT_TRUE(lease.HeartbeatDue(absl::Seconds(1), &first));
  ASSERT_TRUE(lease.HeartbeatDue(absl::Seconds(2), &second));
  EXPECT_TRUE(lease.Renew(second));
  EXPECT_FALSE(lease.Renew(first));
  EXPECT_EQ(lease.until(), absl::Seconds(12));
}

TEST(LeaseTest, EndingTheSessionKeepsWhatIsLeft) {
  Lease lease;
  lease.Begin(absl::ZeroDuration(), absl::Seconds(10), absl::Seconds(1));
  lease.EndSession();
  uint64_t sequence = 0;
  EXPECT_FALSE(lease.HeartbeatDue(absl::Seconds(5), &sequence));
  EXPECT_TRUE(lease.Valid(absl::Seconds(5)));
  // A shorter lease of the next session never takes away what was promised.
  lease.Begin(absl::Seconds(6), absl::Seconds(1), absl::Seconds(1));
  EXPECT_TRUE(lease.Valid(absl::Seconds(9)));
}

TEST(LeaseTest, UnansweredHeartbeatsAreBounded) {
  Lease lease;
  lease.Begin(absl::ZeroDuration(), absl::Seconds(10), absl::Milliseconds(10));
  uint64_t first = 0;
  ASSERT_TRUE(lease.HeartbeatDue(absl::Seconds(1), &first));
  uint64_t sequence = 0;
  for (int i = 0; i < 2000; ++i) lease.HeartbeatDue(absl::Seconds(2 + i), &sequence);
  EXPECT_FALSE(lease.Renew(first));
  EXPECT_TRUE(lease.Renew(sequence));
}

TEST(AgentLeaseTest, HeartbeatsGoOutOnTime) {
  AgentScene scene;
  EXPECT_EQ(scene.core().NextTick(), absl::InfiniteDuration());
  scene.Connect();
  EXPECT_EQ(scene.core().NextTick(), absl::Seconds(101));
  EXPECT_THAT(scene.Tick(), IsEmpty());
  scene.Pass(absl::Seconds(1));
  EXPECT_THAT(scene.Tick(), ElementsAre("heartbeat 1"));
  EXPECT_EQ(scene.core().NextTick(), absl::Seconds(102));
}

TEST(AgentLeaseTest, ASilentSchedulerIsLeftAfterAWholeLease) {
  AgentScene scene;
  scene.Connect();
  for (int i = 0; i < 9; ++i) {
    scene.Pass(absl::Seconds(1));
    EXPECT_THAT(scene.Tick(), Not(Contains("reconnect")));
  }
  scene.Pass(absl::Seconds(1));
  EXPECT_THAT(scene.Tick(), Contains("reconnect"));
  EXPECT_THAT(scene.Tick(), IsEmpty()) << "once";
}

TEST(AgentLeaseTest, NothingStartsWithoutALease) {
  AgentScene scene;
  scene.Connect({WantRun(kOne)});
  scene.Disconnect();
  scene.Pass(absl::Seconds(20));
  EXPECT_THAT(scene.Staged(kOne), IsEmpty()) << "the order is older than the lease";
  EXPECT_THAT(scene.Connect({WantRun(kOne)}), Contains("launch 1-1-0"));
}

TEST(AgentLeaseTest, AnOrderIsCarriedOutDuringAShortLossOfTheStream) {
  AgentScene scene;
  scene.Connect({WantRun(kOne)});
  scene.Disconnect();
  scene.Pass(absl::Seconds(5));
  EXPECT_THAT(scene.Staged(kOne), ElementsAre("launch 1-1-0"));
}

TEST(AgentLeaseTest, ALateRenewalStartsWhatWaitedForIt) {
  AgentScene scene;
  scene.Connect({WantRun(kOne)});
  scene.Pass(absl::Seconds(9));
  EXPECT_THAT(scene.Tick(), ElementsAre("heartbeat 1"));
  scene.Pass(absl::Seconds(2));
  EXPECT_THAT(scene.Staged(kOne), IsEmpty());
  EXPECT_THAT(scene.Renew(1), ElementsAre("launch 1-1-0"));
}

TEST(AgentLeaseTest, RunningMembersOutliveTheSession) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kOne);
  EXPECT_THAT(scene.Disconnect(), IsEmpty());
  scene.Pass(absl::Hours(1));
  EXPECT_THAT(scene.Tick(), IsEmpty());
  EXPECT_EQ(scene.core().PhaseOf(kOne), AgentCore::Phase::kRunning);
}

TEST(AgentLeaseTest, AStrictMemberGetsEveryRenewal) {
  AgentScene scene;
  scene.Connect();
  agent::v1::DesiredMember run = WantRun(kOne);
  run.mutable_assignment()->set_strict_lease(true);
  scene.Delta({run});
  scene.Staged(kOne);
  scene.Started(kOne);
  scene.Pass(absl::Seconds(1));
  EXPECT_THAT(scene.Tick(), ElementsAre("heartbeat 1"));
  scene.Pass(absl::Seconds(0.5));
  EXPECT_THAT(scene.Renew(1), ElementsAre("lease 1-1-0 4.3s"))
      << "from the heartbeat's sending; the grace, at most half a lease, ends before the lease";
}

TEST(AgentLeaseTest, RanksOfAStrictMemberAreGoneWhenTheLeaseEnds) {
  AgentScene scene;
  scene.Connect();
  agent::v1::Assignment assignment = AssignmentOf(kOne);
  assignment.set_strict_lease(true);
  for (const int64_t grace_ms : {100, 2000, 5000, 60000}) {
    assignment.set_grace_ms(grace_ms);
    const absl::Duration grace = scene.core().LeaseGrace(assignment);
    const absl::Duration left = scene.core().LeaseLeft(assignment, scene.now());
    EXPECT_LE(grace, absl::Seconds(5));
    EXPECT_GT(left, absl::ZeroDuration());
    EXPECT_LT(left + grace, absl::Seconds(10)) << grace_ms;
    EXPECT_GE(left + grace, absl::Seconds(9.7)) << grace_ms;
  }
  assignment.set_strict_lease(false);
  EXPECT_EQ(scene.core().LeaseGrace(assignment), absl::Seconds(60));
  EXPECT_EQ(scene.core().LeaseLeft(assignment, scene.now()),
            absl::Milliseconds(assignment.stop_after_ms()));
}

TEST(AgentLeaseTest, AStrictMemberStartsOnlyWithTimeToStop) {
  AgentScene scene;
  agent::v1::DesiredMember run = WantRun(kOne);
  run.mutable_assignment()->set_strict_lease(true);
  scene.Connect({run});
  scene.Pass(absl::Seconds(6));
  EXPECT_THAT(scene.Tick(), ElementsAre("heartbeat 1"));
  EXPECT_THAT(scene.Staged(kOne), IsEmpty()) << "four seconds are less than the grace";
  EXPECT_THAT(scene.Renew(1), ElementsAre("launch 1-1-0"));
}

TEST(AgentLeaseTest, ASessionWithoutAWelcomeIsGivenUp) {
  AgentScene scene;
  scene.core().Connected(scene.now());
  scene.Effects();
  scene.Pass(absl::Seconds(14));
  EXPECT_THAT(scene.Tick(), IsEmpty());
  EXPECT_EQ(scene.core().NextTick(), absl::Seconds(115));
  scene.Pass(absl::Seconds(1));
  EXPECT_THAT(scene.Tick(), ElementsAre("reconnect"));
  EXPECT_THAT(scene.Tick(), IsEmpty()) << "once";
}

TEST(AgentLeaseTest, ASessionWithoutAcknowledgementsIsGivenUp) {
  AgentScene scene;
  scene.lease_ms = 1000000;
  scene.Connect();
  scene.Pass(absl::Seconds(60));
  EXPECT_THAT(scene.Tick(), Not(Contains("reconnect"))) << "nothing was to be acknowledged";
  scene.BringUp(kOne);
  scene.Pass(absl::Seconds(29));
  EXPECT_THAT(scene.Tick(), Not(Contains("reconnect")));
  scene.Pass(absl::Seconds(1));
  EXPECT_THAT(scene.Tick(), Contains("reconnect"));
  EXPECT_EQ(scene.core().outbox().facts().size(), 1u) << "it is said again";
}

TEST(AgentLeaseTest, ADeviceServesOneMemberAtATime) {
  AgentScene scene;
  agent::v1::DesiredMember first = WantRun(kOne);
  first.mutable_assignment()->add_ranks()->add_device_uuids("gpu-a");
  agent::v1::DesiredMember second = WantRun(kTwo);
  second.mutable_assignment()->add_ranks()->add_device_uuids("gpu-b");
  second.mutable_assignment()
      ->mutable_ranks(second.assignment().ranks_size() - 1)
      ->add_device_uuids("gpu-a");
  scene.Connect({first});
  EXPECT_THAT(scene.Staged(kOne), ElementsAre("launch 1-1-0"));
  scene.Started(kOne);
  scene.Delta({second});
  EXPECT_THAT(scene.Staged(kTwo), IsEmpty());
  EXPECT_THAT(scene.Ended(kOne), Contains(testing::HasSubstr("launch")));
}

TEST(AgentLeaseTest, FractionsOfADeviceAreShared) {
  AgentScene scene;
  agent::v1::DesiredMember first = WantRun(kOne);
  first.mutable_assignment()->add_ranks()->add_device_uuids("gpu-a");
  first.mutable_assignment()->mutable_per_rank()->set_gpu_milli(500);
  agent::v1::DesiredMember second = WantRun(kTwo);
  *second.mutable_assignment()->mutable_ranks() = first.assignment().ranks();
  second.mutable_assignment()->mutable_per_rank()->set_gpu_milli(500);
  scene.Connect({first, second});
  EXPECT_THAT(scene.Staged(kOne), Contains(testing::HasSubstr("launch")));
  EXPECT_THAT(scene.Staged(kTwo), Contains(testing::HasSubstr("launch")));
}

TEST(AgentLeaseTest, OtherMembersGetTheirLongLeaseNowAndThen) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kOne);
  scene.AckAll();
  int handed_on = 0;
  for (uint64_t beat = 1; beat <= 180; ++beat) {
    scene.Pass(absl::Seconds(1));
    scene.Tick();
    for (const std::string& text : scene.Renew(beat)) {
      EXPECT_EQ(text, "lease 1-1-0 15m");
      ++handed_on;
    }
  }
  EXPECT_EQ(handed_on, 4) << "every twentieth of stop_after";
}

TEST(AgentLeaseTest, StagingHasADeadlineThatWaitsForTheScheduler) {
  AgentScene scene;
  scene.lease_ms = 1000000;
  scene.Connect({WantRun(kOne)});
  scene.Pass(absl::Seconds(59));
  EXPECT_THAT(scene.Tick(), Not(Contains("unstage 1-1-0")));
  scene.Pass(absl::Seconds(1));
  EXPECT_THAT(scene.Tick(), Contains("fact exited 1-1-0 STAGING refused"));

  AgentScene alone;
  alone.Connect({WantRun(kTwo)});
  alone.Disconnect();
  alone.Pass(absl::Seconds(61));
  EXPECT_THAT(alone.Tick(), IsEmpty()) << "downtime of the scheduler counts for nobody";
  EXPECT_EQ(alone.core().NextTick(), absl::InfiniteDuration());
  alone.Connect({WantRun(kTwo)});
  alone.Pass(absl::Seconds(59));
  EXPECT_THAT(alone.Tick(), Not(Contains("unstage 2-1-0")));
}

TEST(AgentLeaseTest, PublishingHasADeadline) {
  AgentScene scene;
  scene.lease_ms = 1000000;
  scene.Connect();
  scene.BringUp(kOne);
  scene.AckAll();
  scene.Ended(kOne);
  EXPECT_LE(scene.core().NextTick(), absl::Seconds(220));
  scene.Pass(absl::Seconds(120));
  EXPECT_THAT(scene.Tick(), Contains("fact exited 1-1-0 INTERNAL"));
  EXPECT_THAT(scene.Published(kOne), IsEmpty()) << "too late";
}

// Each time it is there for two seconds and away for eight, which is less than a lease.
TEST(AgentLeaseTest, TimeWithoutASchedulerThatFlickersDoesNotCount) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kOne);
  scene.AckAll();
  scene.Ended(kOne);
  int seconds_served = 0;
  bool ended = false;
  for (int flicker = 0; flicker < 100 && !ended; ++flicker) {
    for (int second = 0; second < 2 && !ended; ++second, ++seconds_served) {
      scene.Pass(absl::Seconds(1));
      for (const std::string& text : scene.Tick()) ended |= text == "fact exited 1-1-0 INTERNAL";
      scene.Renew(static_cast<uint64_t>(seconds_served + 1));
    }
    scene.Disconnect();
    scene.Pass(absl::Seconds(8));
    EXPECT_THAT(scene.Tick(), IsEmpty());
    scene.Connect({WantRun(kOne)});
  }
  EXPECT_TRUE(ended);
  EXPECT_GE(seconds_served, 119) << "of a limit of 120";
}

// After a restart of the agent.

TEST(AgentAdoptionTest, ARunningMemberIsToldAndGoesOn) {
  AgentScene scene(1);
  scene.core().Adopt(AssignmentOf(kOne), AgentCore::Phase::kStarting, MemberEnd(), 0, scene.now());
  EXPECT_THAT(scene.Started(kOne), ElementsAre("fact running 1-1-0"));
  EXPECT_THAT(scene.Tick(), IsEmpty()) << "nothing is known yet of what is wanted";
  EXPECT_THAT(scene.Connect({WantRun(kOne)}),
              ElementsAre("hello 1 members", "lease 1-1-0 15m", "ack 0"));
  EXPECT_THAT(scene.Ended(kOne), ElementsAre("publish 1-1-0"));
}

TEST(AgentAdoptionTest, AMemberThatNobodyWantsAnyMoreIsStopped) {
  AgentScene scene(1);
  scene.core().Adopt(AssignmentOf(kOne), AgentCore::Phase::kStarting, MemberEnd(), 0, scene.now());
  EXPECT_THAT(scene.Connect({}), Contains("stop 1-1-0 STOP_STALE"));
}

TEST(AgentAdoptionTest, AnEndThatWasNeverToldIsPublished) {
  AgentScene scene(1);
  MemberEnd end;
  end.record.set_cause(v1::USER_ERROR);
  scene.core().Adopt(AssignmentOf(kOne), AgentCore::Phase::kPublishing, end, 0, scene.now());
  EXPECT_THAT(scene.Effects(), ElementsAre("publish 1-1-0"));
  EXPECT_THAT(scene.Published(kOne), Contains("fact exited 1-1-0 USER_ERROR"));
}

TEST(AgentAdoptionTest, AnEndThatWasToldIsNotToldAgain) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kOne);
  scene.Ended(kOne);
  scene.Published(kOne);  // facts 1 to 3
  scene.RestartAgent();
  scene.core().Adopt(AssignmentOf(kOne), AgentCore::Phase::kExited, MemberEnd(), 2, scene.now());
  EXPECT_THAT(scene.Effects(), IsEmpty());
  EXPECT_THAT(scene.Connect({WantRun(kOne)}), ElementsAre("hello 1 members", "ack 1"));
  EXPECT_THAT(scene.AckAll(), ElementsAre("drop 3", "clean 1-1-0"));
}

// The agent was killed between the storing of the two facts of an end.
TEST(AgentAdoptionTest, AReleaseThatWasNeverStoredIsTold) {
  for (const bool acknowledged : {false, true}) {
    AgentScene scene;
    scene.Connect();
    scene.BringUp(kOne);
    scene.Ended(kOne);
    scene.Published(kOne);
    agent::v1::Fact exited = scene.core().outbox().facts()[1];
    ASSERT_TRUE(exited.has_exited());
    AgentCore restarted({}, 1);
    std::vector<agent::v1::Fact> stored;
    if (!acknowledged) stored.push_back(exited);
    restarted.RestoreFacts(std::move(stored), 3, acknowledged ? 2 : 1);
    restarted.Adopt(AssignmentOf(kOne), AgentCore::Phase::kExited, MemberEnd(), 2, scene.now());
    const agent::v1::Fact& last = restarted.outbox().facts().back();
    EXPECT_TRUE(last.has_released());
    EXPECT_EQ(last.sequence(), 3u);
  }
}

// What another member says at its adoption does not take the release's place.
TEST(AgentAdoptionTest, AMissingReleaseIsToldAfterOtherAdoptions) {
  AgentScene scene;
  agent::v1::Fact exited;
  exited.set_sequence(5);
  *exited.mutable_key() = KeyOf(kTwo);
  exited.mutable_exited();
  AgentCore restarted({}, 1);
  restarted.RestoreFacts({exited}, 6, 4);
  restarted.Adopt(AssignmentOf(kOne), AgentCore::Phase::kStarting, MemberEnd(), 0, scene.now());
  restarted.Started(kOne, 1, scene.now());
  restarted.Adopt(AssignmentOf(kTwo), AgentCore::Phase::kExited, MemberEnd(), 5, scene.now());
  ASSERT_EQ(restarted.outbox().facts().size(), 3u);
  EXPECT_TRUE(restarted.outbox().facts()[1].has_running());
  EXPECT_TRUE(restarted.outbox().facts()[2].has_released());
  EXPECT_EQ(restarted.outbox().facts()[2].key().run_uid(), kTwo.run_uid);
}

// The mark in its folder outlived the fact in the log: a power cut. It was not acknowledged.
TEST(AgentAdoptionTest, AnEndWhoseFactIsLostIsToldAgain) {
  AgentScene scene;
  AgentCore restarted({}, 1);
  restarted.RestoreFacts({}, 1000, 1);
  MemberEnd failed;
  failed.record.set_cause(v1::USER_ERROR);
  restarted.Adopt(AssignmentOf(kOne), AgentCore::Phase::kExited, failed, 2, scene.now());
  bool published = false;
  for (const Effect& effect : restarted.TakeEffects()) {
    EXPECT_FALSE(std::holds_alternative<CleanMember>(effect)) << "its results are thrown away";
    published |= std::holds_alternative<PublishMember>(effect);
  }
  EXPECT_TRUE(published);
  restarted.Published(kOne, absl::OkStatus(), {}, scene.now());
  bool told = false;
  for (const agent::v1::Fact& fact : restarted.outbox().facts()) {
    if (!fact.has_exited()) continue;
    told = true;
    EXPECT_EQ(fact.exited().record().cause(), v1::USER_ERROR) << "a failure became a success";
  }
  EXPECT_TRUE(told);
}

TEST(AgentAdoptionTest, AnAcknowledgedEndLeavesOnlyAFolderToRemove) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kOne);
  scene.Ended(kOne);
  scene.Published(kOne);
  scene.AckAll();
  scene.RestartAgent();
  scene.core().Adopt(AssignmentOf(kOne), AgentCore::Phase::kExited, MemberEnd(), 2, scene.now());
  EXPECT_THAT(scene.Effects(), ElementsAre("clean 1-1-0"));
  EXPECT_THAT(scene.Connect({}), Contains("hello 0 members"));
}

TEST(AgentAdoptionTest, FactsKeepTheirNumbersOverARestart) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kOne);
  scene.AckAll();
  scene.BringUp(kTwo);
  scene.RestartAgent();
  EXPECT_EQ(scene.core().outbox().facts().front().sequence(), 2u);
  EXPECT_EQ(scene.core().outbox().next_sequence(), 3u);
  // The end of a member whose folder is gone too is not told twice.
  scene.core().Connected(scene.now());
  scene.Effects();
  const auto& hello = std::get<SendToScheduler>(scene.raw()[0]).message.hello();
  EXPECT_EQ(hello.first_unacked_fact(), 2u);
  EXPECT_EQ(hello.last_incarnation(), 1u);
}

TEST(AgentAdoptionTest, HelloNamesEachMembersPhase) {
  AgentScene scene;
  const MemberId staging{1, 1, 0}, prepared{2, 1, 0}, starting{3, 1, 0}, running{4, 1, 0},
      stopping{5, 1, 0}, publishing{6, 1, 0}, exited{7, 1, 0};
  scene.Connect({WantRun(staging), WantPrepared(prepared), WantRun(starting)});
  scene.Staged(prepared);
  scene.Staged(starting);
  for (const MemberId& id : {running, stopping, publishing, exited}) scene.BringUp(id);
  scene.Delta({WantStopped(stopping)});
  scene.Ended(publishing);
  scene.Ended(exited);
  scene.Published(exited);
  scene.Disconnect();
  scene.core().Connected(scene.now());
  scene.Effects();
  std::vector<agent::v1::MemberPhase> phases;
  for (const auto& report : std::get<SendToScheduler>(scene.raw()[0]).message.hello().members()) {
    phases.push_back(report.phase());
  }
  EXPECT_THAT(phases, ElementsAre(agent::v1::STAGING_PHASE, agent::v1::PREPARED_PHASE,
                                  agent::v1::STARTING_PHASE, agent::v1::RUNNING_PHASE,
                                  agent::v1::STOPPING_PHASE, agent::v1::PUBLISHING_PHASE,
                                  agent::v1::EXITED_PHASE));
}

}  // namespace
}  // namespace trainyard::worker
