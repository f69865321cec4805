// The engine stepped by hand: what one command leads to, in one cycle and in order.
#include "scheduler/runtime/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/runtime/scene.h"

namespace trainyard::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(EngineTest, SubmitIsPlacedAndOrderedInTheSameCycle) {
  Scene scene;
  scene.Connect("a", 2);
  const uint64_t uid = scene.Submit("one");
  const auto ordered = scene.Ordered("a");
  ASSERT_THAT(ordered, SizeIs(1));
  EXPECT_EQ(ordered[0].want(), agent::v1::RUN);
  EXPECT_EQ(ordered[0].assignment().job_uid(), uid);
  EXPECT_FALSE(ordered[0].assignment().attempt_token().empty());
}

TEST(EngineTest, JobGoesItsWayToTheEnd) {
  Scene scene;
  scene.Connect("a", 2);
  const uint64_t uid = scene.Submit("one");
  scene.RunToSuccess("a", scene.Ordered("a").at(0).key());
  EXPECT_EQ(scene.view().Job(uid)->state(), v1::SUCCEEDED);
}

TEST(EngineTest, FactsAreAcknowledgedOnceFolded) {
  Scene scene;
  scene.Connect("a", 2);
  scene.Submit("one");
  const auto key = scene.Ordered("a").at(0).key();
  agent::v1::Fact fact;
  *fact.mutable_key() = key;
  fact.mutable_running()->set_pid(1);
  scene.Tell("a", fact);
  uint64_t acked = 0;
  for (const auto& message : scene.link.Take("a")) {
    if (message.has_fact_ack()) acked = message.fact_ack().sequence();
  }
  EXPECT_EQ(acked, 1u);
}

TEST(EngineTest, DeltasCarryRisingVersionsAndEachAssignmentOnce) {
  Scene scene;
  EXPECT_EQ(scene.Connect("a", 4).version(), 1u);
  scene.Submit("one");
  scene.Submit("two");
  ASSERT_TRUE(scene.Do(core::CancelJob{"default", "one", ""}).ok());
  uint64_t version = 1;
  int assignments = 0;
  int stops = 0;
  for (const auto& message : scene.link.Take("a")) {
    if (!message.has_delta()) continue;
    EXPECT_EQ(message.delta().version(), ++version);
    for (const auto& member : message.delta().set()) {
      assignments += member.has_assignment() ? 1 : 0;
      stops += member.want() == agent::v1::STOPPED ? 1 : 0;
    }
  }
  EXPECT_EQ(assignments, 2);
  EXPECT_EQ(stops, 1);
}

TEST(EngineTest, WelcomeHoldsTheWholeDesiredState) {
  Scene scene;
  scene.Connect("a", 4);
  scene.Submit("one");
  scene.Submit("two");
  const agent::v1::Welcome welcome = scene.Connect("a", 4);
  EXPECT_EQ(welcome.desired_size(), 2);
  for (const auto& member : welcome.desired()) EXPECT_TRUE(member.has_assignment());
}

TEST(EngineTest, NothingIsPlacedOnANodeWithoutASession) {
  Scene scene;
  scene.Connect("a", 4);
  scene.runtime().AgentDisconnected("a", scene.last_session());
  scene.Step();
  const uint64_t uid = scene.Submit("one");
  EXPECT_EQ(scene.view().Job(uid)->state(), v1::QUEUED);
  const auto why = scene.view().Explanation(scene.view().Job(uid)->run_uid());
  ASSERT_NE(why, nullptr);
  EXPECT_EQ(why->reason, "WAITING_FOR_NODES");
  EXPECT_THAT(why->message, HasSubstr("not connected"));
  const agent::v1::Welcome welcome = scene.Connect("a", 4);
  EXPECT_EQ(welcome.desired_size(), 1) << "placed in the cycle in which the agent came back";
}

TEST(EngineTest, SilentAgentIsLostWhenItsLeaseEnds) {
  Scene scene;
  scene.Connect("a", 4);
  scene.Live(absl::Seconds(14));
  EXPECT_TRUE(scene.view().Agent("a")->connected());
  EXPECT_TRUE(scene.runtime().AgentHeartbeat("a"));
  scene.Live(absl::Seconds(14));
  EXPECT_TRUE(scene.view().Agent("a")->connected());
  scene.Live(absl::Seconds(2));
  EXPECT_FALSE(scene.view().Agent("a")->connected());
  EXPECT_FALSE(scene.runtime().AgentHeartbeat("a")) << "its session must end";
}

// A process that was stopped, or a machine that slept, has heard nobody.
TEST(EngineTest, ASchedulerThatStoodStillGivesNobodyUp) {
  Scene scene;
  scene.Connect("a", 4);
  scene.clock.Pass(absl::Hours(1));
  scene.Step();
  EXPECT_TRUE(scene.view().Agent("a")->connected());
  scene.Live(absl::Seconds(14));
  EXPECT_TRUE(scene.view().Agent("a")->connected());
  EXPECT_TRUE(scene.runtime().AgentHeartbeat("a"));
  scene.Live(absl::Seconds(16));
  EXPECT_FALSE(scene.view().Agent("a")->connected()) << "a lease in full, and no longer";
}

TEST(EngineTest, TheEndOfAnOlderSessionChangesNothing) {
  Scene scene;
  scene.Connect("a", 4);
  const uint64_t old = scene.last_session();
  scene.Connect("a", 4);
  ASSERT_NE(scene.last_session(), old);
  scene.runtime().AgentDisconnected("a", old);  // its thread is late
  scene.Step();
  EXPECT_TRUE(scene.runtime().AgentLinked("a"));
  scene.Submit("one");
  EXPECT_EQ(scene.Ordered("a").size(), 1u);
  scene.runtime().AgentDisconnected("a", scene.last_session());
  scene.Step();
  EXPECT_FALSE(scene.runtime().AgentLinked("a"));
}

TEST(EngineTest, ExplanationFollowsTheQueue) {
  Scene scene;
  scene.Connect("a", 1);
  scene.Submit("running");
  const uint64_t first = scene.Submit("first");
  const uint64_t second = scene.Submit("second");
  const auto why_first = scene.view().Explanation(scene.view().Job(first)->run_uid());
  ASSERT_NE(why_first, nullptr);
  EXPECT_EQ(why_first->reason, "WAITING_FOR_RESOURCES");
  EXPECT_EQ(why_first->position, 1);
  EXPECT_EQ(scene.view().Explanation(scene.view().Job(second)->run_uid())->position, 2);
  ASSERT_TRUE(scene.Do(core::CancelJob{"default", "first", ""}).ok());
  EXPECT_EQ(scene.view().Explanation(scene.view().Job(first)->run_uid()), nullptr);
  EXPECT_EQ(scene.view().Explanation(scene.view().Job(second)->run_uid())->position, 1);
}

std::vector<std::string> WhatStarts(Scene* scene, uint64_t job) {
  std::vector<std::string> texts = {"no answer came"};
  scene->runtime().WhatIf(scene->view().Job(job)->run_uid(), [&](const auto& changes) {
    texts.clear();
    for (const placement::Counterfactual& change : changes) texts.push_back(change.text);
  });
  scene->Step();
  return texts;
}

// Whoever asks is told, wherever the run stands and however many nodes there are.
TEST(EngineTest, WhatWouldStartARunIsFoundWhenItIsAsked) {
  Scene scene;
  scene.policy = *placement::PolicyNamed("las-r");
  scene.Restart();
  for (int i = 0; i < 300; ++i) scene.Connect(absl::StrCat("n", i), 2);
  std::vector<uint64_t> jobs;
  for (int i = 0; i < 310; ++i) {
    jobs.push_back(scene.Submit(absl::StrCat("j", i), MakeSpec(1, 1500)));
  }
  ASSERT_EQ(scene.view().Job(jobs.front())->state(), v1::PREPARING);
  ASSERT_EQ(scene.view().Job(jobs.back())->state(), v1::QUEUED);
  EXPECT_THAT(WhatStarts(&scene, jobs.back()), testing::Contains(HasSubstr("more node")));
  EXPECT_THAT(WhatStarts(&scene, jobs.front()), SizeIs(0)) << "it has started";
}

// It is out of the queue until a node changes.
TEST(EngineTest, WhatWouldStartARunThatNoNodeCanHold) {
  Scene scene;
  scene.Connect("a", 4);
  const uint64_t wide = scene.Submit("wide", MakeSpec(5));
  EXPECT_EQ(scene.view().Explanation(scene.view().Job(wide)->run_uid())->reason, "NO_CAPACITY");
  EXPECT_THAT(WhatStarts(&scene, wide), testing::Contains(HasSubstr("with 4 ranks instead of 5")));
}

TEST(EngineTest, LongQueueIsServedInOrderAndExplained) {
  Scene scene;
  std::vector<uint64_t> jobs;
  for (int i = 0; i < 300; ++i) jobs.push_back(scene.Submit(absl::StrCat("j", i)));
  scene.Connect("a", 2);
  // Two run; the rest is explained, also beyond what is planned at once.
  scene.clock.Pass(absl::Seconds(1));
  scene.Step();
  EXPECT_EQ(scene.view().RunsOnNode("a").size(), 2u);
  const auto last = scene.view().Explanation(scene.view().Job(jobs.back())->run_uid());
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(last->position, 298);
}

TEST(EngineTest, RunsThatCannotStartDoNotHideThoseBehindThem) {
  Scene scene;
  scene.Connect("a", 2);
  v1::JobSpec huge = MakeSpec(1, 64000);
  v1::JobSpec held = MakeSpec();
  held.mutable_scheduling()->set_hold(true);
  std::vector<uint64_t> hopeless;
  for (int i = 0; i < 150; ++i) {
    hopeless.push_back(scene.Submit(absl::StrCat("huge", i), huge));
    scene.Submit(absl::StrCat("held", i), held);
  }
  scene.Submit("small");
  EXPECT_THAT(scene.Ordered("a"), SizeIs(1));
  EXPECT_EQ(scene.view().Explanation(scene.view().Job(hopeless[149])->run_uid())->reason,
            "NO_CAPACITY");
  scene.Connect("b", 64);
  EXPECT_EQ(scene.view().RunsOnNode("b").size(), 1u) << "a larger node is a new chance";
  EXPECT_EQ(scene.view().Job(hopeless[0])->state(), v1::PREPARING);
}

TEST(EngineTest, MaxWaitEndsAsExpired) {
  Scene scene;
  v1::JobSpec spec = MakeSpec();
  spec.mutable_scheduling()->mutable_max_wait()->set_seconds(5);
  const uint64_t uid = scene.Submit("impatient", spec);
  scene.clock.Pass(absl::Seconds(4));
  scene.Step();
  EXPECT_EQ(scene.view().Job(uid)->state(), v1::QUEUED);
  EXPECT_LE(scene.runtime().Idle(), absl::Seconds(1));
  scene.clock.Pass(absl::Seconds(2));
  scene.Step();
  EXPECT_EQ(scene.view().Job(uid)->state(), v1::EXPIRED);
}

TEST(EngineTest, WatchersHearOfTheirJobAlone) {
  Scene scene;
  const uint64_t uid = scene.Submit("mine");
  int mine = 0;
  int any = 0;
  const uint64_t watch = scene.view().Watch(uid, [&](uint64_t) { ++mine; });
  scene.view().Watch(0, [&](uint64_t) { ++any; });
  scene.Submit("other");
  EXPECT_GT(any, 0);
  const int before = mine;
  ASSERT_TRUE(scene.Do(core::CancelJob{"default", "mine", ""}).ok());
  EXPECT_GT(mine, before);
  scene.view().Unwatch(watch);
  const int after = mine;
  ASSERT_TRUE(scene.Do(core::CancelJob{"default", "other", ""}).ok());
  EXPECT_EQ(mine, after);
}

}  // namespace
}  // namespace trainyard::runtime
