// Gangs, limits and unusual orders of events in the agent's logic.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/core/agent_scene.h"
#include "worker/core/agent_core.h"

namespace trainyard::worker {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

constexpr MemberId kHead{1, 1, 0};
constexpr MemberId kPeer{1, 1, 1};

TEST(AgentGangTest, APreparedGangIsRolledBackWithoutAStart) {
  AgentScene scene;
  scene.Connect({WantPrepared(kHead), WantPrepared(kPeer)});
  scene.Staged(kHead);
  EXPECT_THAT(scene.Staged(kPeer, absl::NotFoundError("no package")),
              ElementsAre("fact exited 1-1-1 STAGING refused", "fact released 1-1-1"));
  EXPECT_THAT(scene.Delta({WantStopped(kHead, agent::v1::STOP_PEER_FAILED)}, {kPeer}),
              ElementsAre("fact exited 1-1-0 CANCELLED_CAUSE refused on request",
                          "fact released 1-1-0", "ack 1"));
  scene.AckAll();
  scene.Cleaned(kHead);
  scene.Cleaned(kPeer);
  EXPECT_THAT(scene.core().Members(), IsEmpty());
}

TEST(AgentGangTest, PeersStartEachOnItsOwnOrder) {
  AgentScene scene;
  scene.Connect({WantPrepared(kHead), WantPrepared(kPeer)});
  scene.Staged(kHead);
  scene.Staged(kPeer);
  EXPECT_THAT(scene.Delta({WantRun(kHead)}), ElementsAre("launch 1-1-0", "ack 1"));
  EXPECT_EQ(scene.core().PhaseOf(kPeer), AgentCore::Phase::kPrepared);
  EXPECT_THAT(scene.Delta({WantRun(kPeer)}), ElementsAre("launch 1-1-1", "ack 2"));
}

TEST(AgentGangTest, AnOrderThatComesBeforeStagingIsThroughWaitsForIt) {
  AgentScene scene;
  scene.Connect({WantPrepared(kHead)});
  EXPECT_THAT(scene.Delta({WantRun(kHead)}), ElementsAre("ack 1"));
  EXPECT_THAT(scene.Staged(kHead), ElementsAre("launch 1-1-0")) << "no word of prepared any more";
}

TEST(AgentGangTest, PreparedIsToldAgainAfterAReconnectAsAFact) {
  AgentScene scene;
  scene.Connect({WantPrepared(kHead)});
  scene.Staged(kHead);
  scene.Disconnect();
  scene.Connect({WantPrepared(kHead)});
  int sent = 0;
  for (const Effect& effect : scene.raw()) {
    const auto* const message = std::get_if<SendToScheduler>(&effect);
    if (message != nullptr && message->message.has_fact()) ++sent;
  }
  EXPECT_EQ(sent, 1) << "the same fact, no new one";
  EXPECT_EQ(scene.core().outbox().facts().size(), 1u);
}

TEST(AgentGangTest, FactsAreResentBeforeNewOnesAreMade) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kHead);
  scene.Disconnect();
  scene.Connect({WantStopped({9, 1, 0})});
  std::vector<uint64_t> sequences;
  for (const Effect& effect : scene.raw()) {
    const auto* const message = std::get_if<SendToScheduler>(&effect);
    if (message != nullptr && message->message.has_fact()) {
      sequences.push_back(message->message.fact().sequence());
    }
  }
  EXPECT_THAT(sequences, ElementsAre(1, 2, 3));
}

TEST(AgentGangTest, AStopIsSaidAgainToOneThatCameBackRunning) {
  AgentScene scene(1);
  scene.core().Adopt(AssignmentOf(kHead), AgentCore::Phase::kStarting, MemberEnd(), 0, scene.now());
  scene.Started(kHead);
  EXPECT_THAT(scene.Connect({WantStopped(kHead, agent::v1::STOP_TIMEOUT)}),
              Contains("stop 1-1-0 STOP_TIMEOUT"));
}

TEST(AgentGangTest, TheGraceIsTheAssignmentsOrTheDefault) {
  AgentScene scene;
  scene.Connect();
  agent::v1::DesiredMember without = WantRun(kPeer);
  without.mutable_assignment()->set_grace_ms(0);
  scene.BringUp(kHead);
  scene.Delta({without});
  scene.Staged(kPeer);
  scene.Started(kPeer);
  scene.Delta({WantStopped(kHead), WantStopped(kPeer)});
  std::vector<absl::Duration> graces;
  for (const Effect& effect : scene.raw()) {
    if (const auto* const stop = std::get_if<StopMember>(&effect)) graces.push_back(stop->grace);
  }
  EXPECT_THAT(graces, ElementsAre(absl::Seconds(5), absl::Seconds(10)));
}

TEST(AgentGangTest, ADisconnectInTheMiddleOfAStopLosesNothing) {
  AgentScene scene;
  scene.Connect();
  scene.BringUp(kHead);
  scene.Delta({WantStopped(kHead)});
  scene.Disconnect();
  EXPECT_THAT(scene.Ended(kHead, v1::CANCELLED_CAUSE), ElementsAre("publish 1-1-0"));
  scene.Published(kHead);
  EXPECT_THAT(scene.Connect({WantStopped(kHead)}),
              AllOf(Contains("hello 1 members"), Not(Contains("stop 1-1-0 STOP_CANCEL"))));
  EXPECT_THAT(scene.AckAll(), ElementsAre("drop 3", "clean 1-1-0"));
}

TEST(AgentGangTest, TheMemoryOfEndedMembersIsBounded) {
  AgentScene scene;
  scene.Connect();
  for (uint64_t run = 1; run <= 10050; ++run) {
    const MemberId id{run, 1, 0};
    scene.Delta({WantStopped(id)});
    scene.AckAll();
    scene.Delta({}, {id});
  }
  EXPECT_THAT(scene.Delta({WantRun({10050, 1, 0})}), Not(Contains("stage 10050-1-0")))
      << "the newest are remembered";
}

}  // namespace
}  // namespace trainyard::worker
