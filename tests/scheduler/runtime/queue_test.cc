// The queue in the engine: what is held, stopped or reserved is not placed; settings and the ledger
// survive; a look ahead changes nothing; queues with their own policy share the room.
#include <gtest/gtest.h>

#include "common/errors.h"
#include "scheduler/core/settings.h"
#include "scheduler/core/taints.h"
#include "scheduler/runtime/planner.h"
#include "scheduler/runtime/planner_view.h"
#include "tests/scheduler/placement/builders.h"
#include "tests/scheduler/runtime/scene.h"

namespace trainyard::runtime {
namespace {

journal::v1::RunState StateOf(const Scene& scene, uint64_t job) {
  return scene.view().Run(scene.view().Job(job)->run_uid())->state();
}

core::SetSetting QueueSetting(const std::string& name, bool stopped, int priority = 0) {
  core::SetSetting set;
  set.setting.set_key(core::QueueKey(name));
  set.setting.mutable_queue()->set_stopped(stopped);
  set.setting.mutable_queue()->set_priority(priority);
  return set;
}

TEST(QueueTest, HeldJobIsPlacedWhenItIsReleased) {
  Scene scene;
  scene.Connect("n1", 4);
  v1::JobSpec spec = MakeSpec();
  spec.mutable_scheduling()->set_hold(true);
  const uint64_t job = scene.Submit("a", spec);
  EXPECT_EQ(StateOf(scene, job), journal::v1::R_WAITING);
  core::SetQueueing wish{"default", "a", {}, 0};
  wish.queueing.set_hold(false);
  ASSERT_TRUE(scene.Do(wish).ok());
  EXPECT_EQ(StateOf(scene, job), journal::v1::R_ACTIVE);
}

TEST(QueueTest, StoppedQueueStartsNothingUntilItIsOpened) {
  Scene scene;
  scene.Connect("n1", 4);
  ASSERT_TRUE(scene.Do(QueueSetting("night", true)).ok());
  v1::JobSpec spec = MakeSpec();
  spec.mutable_scheduling()->set_queue("night");
  const uint64_t job = scene.Submit("a", spec);
  EXPECT_EQ(StateOf(scene, job), journal::v1::R_WAITING);
  ASSERT_TRUE(scene.Do(QueueSetting("night", false)).ok());
  EXPECT_EQ(StateOf(scene, job), journal::v1::R_ACTIVE);
}

TEST(QueueTest, PriorityAndQueueDecideWhoComesNext) {
  Scene scene;
  scene.Connect("n1", 1);
  scene.Submit("first");
  const auto ordered = scene.Ordered("n1");
  ASSERT_EQ(ordered.size(), 1u);
  ASSERT_TRUE(scene.Do(QueueSetting("high", false, 100)).ok());
  const uint64_t low = scene.Submit("low");
  v1::JobSpec spec = MakeSpec();
  spec.mutable_scheduling()->set_queue("high");
  const uint64_t high = scene.Submit("high", spec);
  core::SetQueueing wish{"default", "low", {}, 0};
  wish.queueing.set_priority(99);
  ASSERT_TRUE(scene.Do(wish).ok());
  scene.RunToSuccess("n1", ordered[0].key());
  EXPECT_EQ(StateOf(scene, high), journal::v1::R_ACTIVE);
  EXPECT_EQ(StateOf(scene, low), journal::v1::R_WAITING);
}

// Of all nodes, so many seconds from now.
core::SetSetting Reservation(const Scene& scene, int64_t from, int64_t until) {
  core::SetSetting set;
  set.setting.set_key("reservations/works");
  const int64_t now = absl::ToUnixSeconds(scene.clock.Now());
  set.setting.mutable_reservation()->mutable_start_time()->set_seconds(now + from);
  set.setting.mutable_reservation()->mutable_end_time()->set_seconds(now + until);
  return set;
}

TEST(QueueTest, ReservedNodeTakesOnlyWhatEndsBefore) {
  Scene scene;
  scene.Connect("n1", 4);
  ASSERT_TRUE(scene.Do(Reservation(scene, 600, 1200)).ok());
  v1::JobSpec spec = MakeSpec();
  spec.mutable_scheduling()->mutable_timeout()->set_seconds(601);
  const uint64_t long_job = scene.Submit("long", spec);
  EXPECT_EQ(StateOf(scene, long_job), journal::v1::R_WAITING);
  ASSERT_TRUE(scene.Do(core::DeleteSetting{"reservations/works"}).ok());
  scene.clock.Pass(absl::Seconds(2));
  scene.Step();
  EXPECT_EQ(StateOf(scene, long_job), journal::v1::R_ACTIVE);
}

// What `why` advises is enough by itself: nothing else has to happen for the job to be looked at.
TEST(QueueTest, AShorterTimeLimitIsPlannedAtOnce) {
  Scene scene;
  scene.Connect("n1", 4);
  ASSERT_TRUE(scene.Do(Reservation(scene, 7200, 9000)).ok());
  const uint64_t job = scene.Submit("a");
  ASSERT_EQ(StateOf(scene, job), journal::v1::R_WAITING);
  core::SetQueueing wish{"default", "a", {}, 0};
  wish.queueing.set_timeout_us(int64_t{3600} * 1'000'000);
  ASSERT_TRUE(scene.Do(wish).ok());
  EXPECT_EQ(StateOf(scene, job), journal::v1::R_ACTIVE);
}

// A node on which the planner would put a run of two GPUs and the core would not: it lists one GPU
// twice.
void ConnectFaulty(Scene* scene, const std::string& node_id, int cores, bool faulty = true,
                   const std::string& taint = "") {
  agent::v1::Hello hello;
  hello.mutable_inventory()->set_node_id(node_id);
  hello.mutable_inventory()->set_cores(cores);
  hello.mutable_inventory()->set_memory_bytes(int64_t{1} << 33);
  if (!taint.empty()) hello.mutable_inventory()->add_taints(taint);
  for (int i = 0; i < (faulty ? 2 : 4); ++i) {
    v1::Device* device = hello.mutable_inventory()->add_devices();
    device->set_uuid(faulty ? "one" : absl::StrCat(node_id, "-", i));
    device->set_index(i);
    device->set_healthy(true);
  }
  scene->runtime().AgentConnected(node_id, 1, hello,
                                  [](const absl::StatusOr<agent::v1::Welcome>&) {});
  scene->Step();
}

void PassSeconds(Scene* scene, const std::vector<std::string>& nodes, int seconds) {
  for (int i = 0; i < seconds; ++i) {
    scene->clock.Pass(absl::Seconds(1));
    for (const std::string& node : nodes) EXPECT_TRUE(scene->runtime().AgentHeartbeat(node));
    scene->Step();
  }
}

TEST(QueueTest, APlacingThatIsRefusedIsToldAndTriedElsewhere) {
  Scene scene;
  ConnectFaulty(&scene, "n1", 2);
  ConnectFaulty(&scene, "n2", 4, /*faulty=*/false);
  v1::JobSpec spec = MakeSpec();
  spec.mutable_worker_pools(0)->mutable_resources()->set_gpu_count(2);
  const uint64_t job = scene.Submit("a", spec);
  ASSERT_EQ(StateOf(scene, job), journal::v1::R_WAITING);
  const auto why = scene.view().Explanation(scene.view().Job(job)->run_uid());
  ASSERT_NE(why, nullptr);
  EXPECT_EQ(why->message,
            "it was to start, but a device is planned twice; it is planned on other nodes");
  PassSeconds(&scene, {"n1", "n2"}, 2);
  ASSERT_EQ(StateOf(scene, job), journal::v1::R_ACTIVE);
  EXPECT_EQ(scene.view().Run(scene.view().Job(job)->run_uid())->attempt().members(0).node_id(),
            "n2");
}

TEST(QueueTest, ARunThatIsRefusedEverywhereTakesNothingFromOthers) {
  Scene scene;
  ConnectFaulty(&scene, "n1", 2);
  v1::JobSpec spec = MakeSpec(1, 2000);
  spec.mutable_worker_pools(0)->mutable_resources()->set_gpu_count(2);
  spec.mutable_scheduling()->set_priority(5);
  const uint64_t refused = scene.Submit("a", spec);
  spec.mutable_worker_pools(0)->mutable_resources()->set_gpu_count(1);
  spec.mutable_scheduling()->set_priority(0);
  const uint64_t other = scene.Submit("b", spec);
  PassSeconds(&scene, {"n1"}, 3);
  EXPECT_EQ(StateOf(scene, other), journal::v1::R_ACTIVE);
  EXPECT_EQ(StateOf(scene, refused), journal::v1::R_WAITING);
  const auto ordered = scene.Ordered("n1");
  ASSERT_EQ(ordered.size(), 1u);
  scene.RunToSuccess("n1", ordered[0].key());
  const auto why = scene.view().Explanation(scene.view().Job(refused)->run_uid());
  ASSERT_NE(why, nullptr);
  EXPECT_NE(why->message.find("a device is planned twice"), std::string::npos) << why->message;
}

// What the planner takes for tolerated, the core does too.
TEST(QueueTest, TolerationsMeanOneThing) {
  const std::vector<std::string> words = {"*", "owner", "owner=", "owner=them", "own", "=them", ""};
  for (const std::string& toleration : words) {
    for (const std::string taint : {"owner", "owner=", "owner=them", "owner=us", "own"}) {
      SCOPED_TRACE(absl::StrCat("toleration ", toleration, " taint ", taint));
      Scene scene;
      ConnectFaulty(&scene, "n1", 2, /*faulty=*/false, taint);
      v1::JobSpec spec = MakeSpec();
      spec.mutable_scheduling()->add_tolerations(toleration);
      const uint64_t job = scene.Submit("a", spec);
      const bool runs = StateOf(scene, job) == journal::v1::R_ACTIVE;
      EXPECT_EQ(runs, core::Tolerates(toleration, taint));
      const auto why = scene.view().Explanation(scene.view().Job(job)->run_uid());
      if (!runs) {
        ASSERT_NE(why, nullptr);
        EXPECT_EQ(why->reason, "NO_CAPACITY") << why->message;
      }
    }
  }
  EXPECT_TRUE(core::Tolerates("owner=", "owner=them")) << "every value of the key";
  EXPECT_FALSE(core::Tolerates("owner=us", "owner=them"));
  EXPECT_FALSE(core::Tolerates("own", "owner"));
}

TEST(QueueTest, SettingsAndLedgerSurviveARestart) {
  Scene scene;
  scene.Connect("n1", 4);
  ASSERT_TRUE(scene.Do(QueueSetting("night", true, 3)).ok());
  scene.Submit("a");
  const auto ordered = scene.Ordered("n1");
  ASSERT_EQ(ordered.size(), 1u);
  scene.clock.Pass(absl::Seconds(5));
  scene.RunToSuccess("n1", ordered[0].key());
  const auto before = scene.view().Ledger(0, 1 << 30);
  ASSERT_EQ(before.size(), 1u);
  EXPECT_EQ(before[0]->cpu_us(), 5'000'000);
  scene.Restart();
  const auto after = scene.view().Ledger(0, 1 << 30);
  ASSERT_EQ(after.size(), 1u);
  EXPECT_EQ(after[0]->SerializeAsString(), before[0]->SerializeAsString());
  ASSERT_NE(scene.view().Setting("queues/night"), nullptr);
  EXPECT_EQ(scene.view().SettingsBelow("queues/").size(), 1u);
  ASSERT_TRUE(scene.Do(core::DeleteSetting{"queues/night"}).ok());
  scene.Restart();
  EXPECT_EQ(scene.view().Setting("queues/night"), nullptr);
}

TEST(QueueTest, LookAheadTellsAndChangesNothing) {
  Scene scene;
  scene.Connect("n1", 1);
  const auto look = [&](const v1::JobSpec& spec) {
    core::Command command;
    command.principal = User();
    command.body = core::SubmitJob{"default", "", spec, false};
    absl::StatusOr<Preview> answer = absl::UnknownError("no answer came");
    scene.runtime().LookAhead(
        std::move(command), [&](absl::StatusOr<Preview> preview) { answer = std::move(preview); });
    scene.Step();
    return answer;
  };
  const uint64_t revision = scene.view().revision();
  auto preview = look(MakeSpec());
  ASSERT_TRUE(preview.ok()) << preview.status();
  EXPECT_TRUE(preview->starts_now);
  EXPECT_EQ(preview->nodes, std::vector<std::string>{"n1"});
  EXPECT_EQ(scene.view().revision(), revision);
  scene.Submit("a");
  preview = look(MakeSpec());
  ASSERT_TRUE(preview.ok());
  EXPECT_FALSE(preview->starts_now);
  EXPECT_EQ(preview->explanation.reason, "WAITING_FOR_RESOURCES");
  v1::JobSpec wrong = MakeSpec();
  wrong.mutable_scheduling()->add_after()->set_job("nobody");
  EXPECT_EQ(look(wrong).status().code(), absl::StatusCode::kNotFound);
}

// The scheduler learns from its own runs, and again from those in memory after a restart.
TEST(QueueTest, StartsAreForetoldFromTheClustersOwnRuns) {
  Scene scene;
  scene.Connect("n1", 1);
  const auto run_for = [&](const std::string& id, absl::Duration time) {
    scene.Submit(id);
    const auto ordered = scene.Ordered("n1");
    ASSERT_FALSE(ordered.empty());
    agent::v1::Fact fact;
    *fact.mutable_key() = ordered.back().key();
    fact.mutable_running()->set_pid(1);
    scene.Tell("n1", fact);
    for (absl::Duration passed; passed < time; passed += absl::Seconds(10)) {
      scene.clock.Pass(absl::Seconds(10));
      EXPECT_TRUE(scene.runtime().AgentHeartbeat("n1"));
    }
    fact.mutable_exited()->mutable_record()->set_rank(-1);
    scene.Tell("n1", fact);
    fact.mutable_released();
    scene.Tell("n1", fact);
    scene.Ordered("n1");
  };
  const auto foretold = [&](const std::string& id) {
    const uint64_t job = scene.Submit(id);
    scene.Step();
    const auto explanation = scene.view().Explanation(scene.view().Job(job)->run_uid());
    EXPECT_NE(explanation, nullptr);
    return explanation == nullptr ? -1 : explanation->estimated_start_us;
  };
  scene.Submit("first");
  EXPECT_EQ(foretold("waits"), 0) << "no run has ended yet";
  ASSERT_TRUE(scene.Do(core::CancelJob{"default", "waits", ""}).ok());
  scene.RunToSuccess("n1", scene.Ordered("n1").back().key());
  run_for("a", absl::Seconds(1000));
  run_for("b", absl::Seconds(1000));
  scene.Submit("ahead");
  const int64_t now_us = absl::ToUnixMicros(scene.clock.Now());
  const int64_t start_us = foretold("next");
  EXPECT_GT(start_us, now_us);
  EXPECT_LT(start_us, now_us + 3'000'000'000);
  scene.Restart();
  scene.Connect("n1", 1);
  EXPECT_GT(foretold("later"), now_us);
}

TEST(QueueTest, LooksAheadAreLimited) {
  Scene scene;
  std::vector<absl::StatusOr<Preview>> answers;
  const auto look = [&] {
    core::Command command;
    command.principal = User();
    command.body = core::SubmitJob{"default", "", MakeSpec(), false};
    scene.runtime().LookAhead(std::move(command), [&](absl::StatusOr<Preview> preview) {
      answers.push_back(std::move(preview));
    });
  };
  for (int i = 0; i < 10; ++i) look();
  scene.Step();
  ASSERT_EQ(answers.size(), 10u);
  int refused = 0;
  for (const auto& answer : answers) {
    if (answer.ok()) continue;
    ++refused;
    EXPECT_EQ(ReasonOf(answer.status()), "RESOURCE_EXHAUSTED");
  }
  EXPECT_EQ(refused, 10 - Engine::kPreviewsMax);
  look();
  scene.Step();
  EXPECT_TRUE(answers.back().ok()) << "those under way were answered";
}

TEST(PlannerTest, QueuesWithTheirOwnPolicyShareTheRoom) {
  placement::Snapshot snapshot;
  snapshot.nodes = {placement::MakeNode("n1", 2)};
  for (const uint64_t uid : {1, 2, 3}) {
    snapshot.waiting.push_back(placement::MakeRun(uid, 1, placement::MakeNeeds(1000)));
  }
  snapshot.waiting[2].queue = "night";
  snapshot.waiting[2].priority = 5;
  Policies policies;
  policies.usual = *placement::PolicyNamed("fifo");
  policies.by_queue["night"] = policies.usual;
  policies.by_queue["night"].name = "another";
  const placement::Plan plan = MakeWholePlan(snapshot, policies);
  ASSERT_EQ(plan.placements.size(), 2u) << "the room is given once";
  EXPECT_EQ(plan.placements[0].run_uid, 3u);
  EXPECT_EQ(plan.placements[1].run_uid, 1u);
  ASSERT_EQ(plan.explanations.size(), 1u);
  EXPECT_EQ(plan.explanations[0].run_uid, 2u);
}

// A queue's own policy orders its runs; it lifts none of them over a run of higher priority.
TEST(PlannerTest, PriorityGoesBeforeQueues) {
  placement::Snapshot snapshot;
  snapshot.nodes = {placement::MakeNode("n1", 3)};
  for (const uint64_t uid : {1, 2, 3, 4}) {
    snapshot.waiting.push_back(placement::MakeRun(uid, 1, placement::MakeNeeds(1000)));
  }
  for (const size_t i : {0u, 3u}) snapshot.waiting[i].queue = "night";
  snapshot.waiting[0].priority = 1;
  snapshot.waiting[1].priority = 3;
  snapshot.waiting[2].priority = 2;
  snapshot.waiting[3].priority = 9;
  Policies policies;
  policies.usual = *placement::PolicyNamed("fifo");
  policies.by_queue["night"] = policies.usual;
  policies.by_queue["night"].name = "another";
  const placement::Plan plan = MakeWholePlan(snapshot, policies);
  std::vector<uint64_t> placed;
  for (const placement::Placement& placement : plan.placements) {
    placed.push_back(placement.run_uid);
  }
  EXPECT_EQ(placed, (std::vector<uint64_t>{4, 2, 3}));
  ASSERT_EQ(plan.explanations.size(), 1u);
  EXPECT_EQ(plan.explanations[0].run_uid, 1u);
}

// What is vacated for a run of one queue is not given to a run of another.
TEST(PlannerTest, WhatIsHeldForARunOfAnotherQueueIsNotGivenAway) {
  placement::Snapshot snapshot;
  snapshot.nodes = {placement::MakeNode("n1", 2)};
  snapshot.waiting.push_back(placement::MakeRun(1, 1, placement::MakeNeeds(2000)));
  snapshot.waiting.push_back(placement::MakeRun(2, 1, placement::MakeNeeds(1000)));
  snapshot.waiting[0].queue = "night";
  snapshot.waiting[1].priority = 5;
  placement::Reservation held;
  held.kind = placement::ReservationKind::kGang;
  held.run_uid = 1;
  held.made_us = 1;
  held.holds.push_back({"n1", {}, 2000, 0});
  snapshot.reservations = {held};
  Policies policies;
  policies.usual = *placement::PolicyNamed("fifo");
  policies.by_queue["night"] = policies.usual;
  policies.by_queue["night"].name = "another";
  const placement::Plan plan = MakeWholePlan(snapshot, policies);
  ASSERT_EQ(plan.placements.size(), 1u);
  EXPECT_EQ(plan.placements[0].run_uid, 1u);
}

TEST(PlannerViewTest, NodesAndRunsAreSeenWhole) {
  Scene scene;
  scene.Connect("n1", 4);
  v1::JobSpec spec = MakeSpec();
  spec.mutable_scheduling()->set_preemptible(true);
  spec.mutable_scheduling()->mutable_timeout()->set_seconds(100);
  (*spec.mutable_scheduling()->mutable_node_selector())["zone"] = "a";
  spec.mutable_scheduling()->add_tolerations("spot");
  spec.mutable_scheduling()->add_tolerations("team=vision");
  ASSERT_TRUE(scene
                  .Do(core::SetProject{[] {
                    journal::v1::ProjectRow project;
                    project.set_project_id("default");
                    project.set_team("research");
                    return project;
                  }()})
                  .ok());
  const uint64_t uid = scene.Submit("a", spec);
  const core::State& state = scene.runtime().engine().state();
  const journal::v1::JobRow& job = *state.jobs.at(uid);
  const core::RunPtr run = state.runs.at(job.run_uid());
  const placement::WaitingRun waiting = WaitingOf(state, *run, job, *state.specs.at(uid));
  EXPECT_EQ(waiting.team, "research");
  EXPECT_TRUE(waiting.preemptible);
  EXPECT_EQ(waiting.time_limit_us, 100'000'000);
  EXPECT_EQ(waiting.node_labels.at("zone"), "a");
  ASSERT_EQ(waiting.tolerations.size(), 2u);
  EXPECT_EQ(waiting.tolerations[1].value, "vision");
  journal::v1::AgentRow agent = *state.agents.at("n1");
  agent.mutable_inventory()->add_taints("spot=yes");
  (*agent.mutable_inventory()->mutable_labels())["rack"] = "r1";
  const placement::NodeView node = EmptyNode(agent);
  EXPECT_EQ(node.rack, "r1");
  ASSERT_EQ(node.taints.size(), 1u);
  EXPECT_EQ(node.taints[0].key, "spot");
  EXPECT_EQ(node.taints[0].value, "yes");
}

}  // namespace
}  // namespace trainyard::runtime
