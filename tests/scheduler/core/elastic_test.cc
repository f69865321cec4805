// Gangs that change: the surest failure of several, fewer replicas after a loss, more when there is
// room, and the parts of a checkpoint for a gang of another shape.
#include "scheduler/core/elastic.h"

#include <gtest/gtest.h>

#include "scheduler/core/ranks.h"
#include "tests/scheduler/core/scene.h"

namespace trainyard::core {
namespace {

Spec Elastic(int ranks, int fewest) {
  Spec spec;
  spec.Ranks(ranks).Cpu(1000).Retries(0, 3);
  spec.spec.mutable_launch()->set_min_replicas(fewest);
  return spec;
}

wire::Exited Ended(v1::ExitCause cause, const std::string& message, int doubt) {
  wire::Exited exited;
  *exited.mutable_record() = Failure(cause, message);
  exited.set_doubt(doubt);
  return exited;
}

// A gang of one rank per node of one core on n0, n1, ... that runs.
uint64_t Start(Scene* scene, const Spec& spec, int nodes) {
  std::vector<Scene::Slice> slices;
  for (int i = 0; i < nodes; ++i) {
    scene->Node("n" + std::to_string(i), 1);
    slices.push_back({"n" + std::to_string(i), {i}});
  }
  scene->Submit("a", spec);
  const uint64_t run = scene->Job("a").run_uid();
  scene->Place(run, slices);
  for (int i = 0; i < nodes; ++i) scene->Prepared(run, i);
  for (int i = 0; i < nodes; ++i) scene->Running(run, i);
  return run;
}

TEST(ElasticTest, TheSurestFailureIsTheCauseThoughAnEchoCameFirst) {
  Scene scene;
  const uint64_t run = Start(&scene, Elastic(3, 0), 3);
  scene.ExitWith(run, 2, Ended(v1::NODE_LOST, "ended with the gang", 2));
  scene.ExitWith(run, 0, Ended(v1::LAUNCH, "mpirun says rank 1 was killed", 1));
  EXPECT_EQ(scene.Run(run).attempt().exit().cause(), v1::LAUNCH);
  scene.ExitWith(run, 1, Ended(v1::USER_ERROR, "the sum is wrong", 0));
  EXPECT_EQ(scene.Job("a").error().cause(), v1::USER_ERROR);
  EXPECT_EQ(scene.Job("a").error().node(), "n1");
}

TEST(ElasticTest, AnEchoDoesNotReplaceASurerFailureNorDoesAStop) {
  Scene scene;
  const uint64_t run = Start(&scene, Elastic(3, 0), 3);
  scene.ExitWith(run, 1, Ended(v1::USER_ERROR, "the sum is wrong", 0));
  scene.ExitWith(run, 0, Ended(v1::LAUNCH, "mpirun ended", 1));
  wire::Exited stopped = Ended(v1::CANCELLED_CAUSE, "stopped", 0);
  stopped.set_stopped_on_request(true);
  scene.ExitWith(run, 2, stopped);
  EXPECT_EQ(scene.Job("a").error().message(), "the sum is wrong");
}

TEST(ElasticTest, FewestRanksFollowsReplicasAndProcesses) {
  v1::JobSpec spec = Elastic(4, 2).spec;
  EXPECT_EQ(FewestRanks(spec), 2);
  spec.mutable_launch()->set_processes_per_replica(3);
  EXPECT_EQ(FewestRanks(spec), 6);
  spec.mutable_launch()->set_min_replicas(0);
  EXPECT_EQ(FewestRanks(spec), 12);
  spec.mutable_launch()->set_min_replicas(100);
  EXPECT_EQ(FewestRanks(spec), 12);
}

TEST(ElasticTest, GoesOnWithTheNodesLeftFromItsCheckpointAndGrowsBack) {
  Scene scene;
  const uint64_t run = Start(&scene, Elastic(3, 2), 3);
  for (int member = 0; member < 3; ++member) {
    scene.Part(run, member, 40, "tree-" + std::to_string(member));
  }
  ASSERT_EQ(scene.Run(run).checkpoint().step(), 40);
  scene.Lose("n1");
  scene.Stopped(run, 0);
  scene.Stopped(run, 2);
  scene.Release(run, 0);
  scene.Release(run, 2);
  ASSERT_EQ(scene.Run(run).state(), records::R_BACKING_OFF);
  scene.Pass(2);
  ASSERT_EQ(scene.Run(run).state(), records::R_WAITING);
  scene.Place(run, {{"n0", {0}}, {"n2", {1}}});
  ASSERT_EQ(scene.Run(run).state(), records::R_ACTIVE);
  const auto demands = DemandOfRun(scene.state(), run);
  ASSERT_EQ(demands.size(), 2u);
  const wire::Assignment& assignment = demands[1].member.assignment();
  EXPECT_EQ(assignment.world_size(), 2);
  EXPECT_EQ(assignment.checkpoint_step(), 40);
  ASSERT_EQ(assignment.checkpoint_parts_size(), 3) << "the shape changed: all parts";
  EXPECT_EQ(assignment.checkpoint_parts(1), "tree-1");
  for (int i = 0; i < 2; ++i) scene.Prepared(run, i);
  for (int i = 0; i < 2; ++i) scene.Running(run, i);
  EXPECT_EQ(scene.Run(run).attempt().stop_us(), 0) << "no room yet";

  scene.Reconnect("n1");
  EXPECT_EQ(scene.Run(run).attempt().stop_reason(), wire::STOP_RESIZE);
  scene.Stopped(run, 0);
  scene.Stopped(run, 1);
  EXPECT_EQ(scene.Run(run).state(), records::R_WAITING);
  EXPECT_EQ(scene.Run(run).preemptions(), 0);
  EXPECT_EQ(scene.Run(run).infrastructure_failures(), 1) << "growing costs nothing";
  scene.Release(run, 0);
  scene.Release(run, 1);
  scene.Place(run, {{"n0", {0}}, {"n1", {1}}, {"n2", {2}}});
  EXPECT_EQ(scene.Run(run).attempt().members_size(), 3);
  EXPECT_EQ(DemandOfRun(scene.state(), run)[2].member.assignment().checkpoint_tree(), "tree-2");
}

TEST(ElasticTest, WaitsForItsOwnDevicesRatherThanStartSmallerAgain) {
  Scene scene;
  scene.Node("n0", 1);
  scene.Node("n1", 1);
  scene.Submit("a", Elastic(3, 2));
  const uint64_t run = scene.Job("a").run_uid();
  scene.Place(run, {{"n0", {0}}, {"n1", {1}}});
  for (int i = 0; i < 2; ++i) scene.Prepared(run, i);
  for (int i = 0; i < 2; ++i) scene.Running(run, i);
  scene.Node("n2", 1);
  scene.Reconnect("n2");
  ASSERT_EQ(scene.Run(run).attempt().stop_reason(), wire::STOP_RESIZE);
  scene.Stopped(run, 0);
  scene.Stopped(run, 1);
  ASSERT_EQ(scene.Run(run).state(), records::R_WAITING);
  scene.Release(run, 1);
  scene.Place(run, {{"n1", {0}}, {"n2", {1}}});
  EXPECT_EQ(scene.Run(run).state(), records::R_WAITING) << "n0 comes free in a moment";
  scene.Lose("n0");
  scene.Place(run, {{"n1", {0}}, {"n2", {1}}});
  EXPECT_EQ(scene.Run(run).state(), records::R_ACTIVE) << "nobody knows when n0 comes free";
}

TEST(ElasticTest, GrowsOnlyOntoNodesThatItMayUse) {
  Scene scene;
  scene.Node("n0", 2, 0, {{"disk", "fast"}});
  Spec spec = Elastic(3, 2);
  spec.spec.mutable_scheduling()->mutable_node_selector()->insert({"disk", "fast"});
  scene.Submit("a", spec);
  const uint64_t run = scene.Job("a").run_uid();
  scene.Place(run, {{"n0", {0, 1}}});
  scene.Running(run);
  ASSERT_EQ(scene.Run(run).attempt().state(), records::A_RUNNING);
  scene.Node("n1", 1);
  scene.Reconnect("n1");
  EXPECT_EQ(scene.Run(run).attempt().stop_us(), 0) << "n1 has not the label";
  scene.Node("n2", 1, 0, {{"disk", "fast"}});
  scene.Reconnect("n2");
  EXPECT_EQ(scene.Run(run).attempt().stop_reason(), wire::STOP_RESIZE);
}

TEST(ElasticTest, AGrowthInVainIsNotTriedAgainAtOnce) {
  Scene scene;
  scene.Node("n0", 1);
  scene.Node("n1", 1);
  scene.Submit("a", Elastic(3, 2));
  const uint64_t run = scene.Job("a").run_uid();
  const auto run_on_two = [&] {
    scene.Place(run, {{"n0", {0}}, {"n1", {1}}});
    for (int i = 0; i < 2; ++i) scene.Prepared(run, i);
    for (int i = 0; i < 2; ++i) scene.Running(run, i);
  };
  run_on_two();
  scene.Node("n2", 1);
  scene.Reconnect("n2");
  ASSERT_EQ(scene.Run(run).attempt().stop_reason(), wire::STOP_RESIZE);
  for (int i = 0; i < 2; ++i) scene.Stopped(run, i);
  for (int i = 0; i < 2; ++i) scene.Release(run, i);
  run_on_two();  // the planner would not have n2
  ASSERT_EQ(scene.Run(run).attempt().state(), records::A_RUNNING);
  scene.Reconnect("n2");
  EXPECT_EQ(scene.Run(run).attempt().stop_us(), 0);
  scene.Pass(601);
  scene.Reconnect("n2");
  EXPECT_EQ(scene.Run(run).attempt().stop_reason(), wire::STOP_RESIZE);
}

TEST(ElasticTest, NeverWithFewerThanTheSpecAllows) {
  Scene scene;
  scene.Node("n0", 8);
  scene.Submit("a", Elastic(4, 3));
  scene.Submit("b", Elastic(4, 0));
  const uint64_t run = scene.Job("a").run_uid();
  scene.Place(run, {{"n0", {0, 1}}});
  EXPECT_EQ(scene.Run(run).state(), records::R_WAITING);
  scene.Place(run, {{"n0", {0, 1, 3}}});
  EXPECT_EQ(scene.Run(run).state(), records::R_WAITING) << "only the last ranks may be left out";
  scene.Place(run, {{"n0", {0, 1, 2}}});
  EXPECT_EQ(scene.Run(run).state(), records::R_ACTIVE);
  const uint64_t whole = scene.Job("b").run_uid();
  scene.Place(whole, {{"n0", {0, 1, 2}}});
  EXPECT_EQ(scene.Run(whole).state(), records::R_WAITING) << "not elastic";
}

TEST(ElasticTest, DoesNotGrowWhileOthersWait) {
  Scene scene;
  scene.Node("n0", 2);
  scene.Submit("a", Elastic(3, 2));
  const uint64_t run = scene.Job("a").run_uid();
  scene.Place(run, {{"n0", {0, 1}}});
  scene.Running(run);
  ASSERT_EQ(scene.Run(run).attempt().state(), records::A_RUNNING);
  Spec big;
  big.Cpu(2000);
  scene.Submit("b", big);
  scene.Node("n1", 1);
  EXPECT_EQ(scene.Run(run).attempt().stop_us(), 0);
  scene.Cancel("b");
  scene.Reconnect("n1");
  EXPECT_EQ(scene.Run(run).attempt().stop_reason(), wire::STOP_RESIZE);
}

// A gang of two cores on n0 that may grow to three ranks, and what happens when n1 joins.
class GrowthTest : public testing::Test {
 protected:
  uint64_t Begin(Spec spec = Elastic(3, 2), int gpus = 0) {
    scene_.Node("n0", 2, gpus, {{"rack", "r0"}});
    scene_.Submit("a", spec);
    const uint64_t run = scene_.Job("a").run_uid();
    scene_.Place(run, {{"n0", {0, 1}}});
    scene_.Running(run);
    EXPECT_EQ(scene_.Run(run).attempt().state(), records::A_RUNNING);
    return run;
  }
  bool GrowsWith(const std::string& node, uint64_t run) {
    scene_.Reconnect(node);
    return scene_.Run(run).attempt().stop_reason() == wire::STOP_RESIZE;
  }
  void Quota(const std::string& key, int64_t limit_milli, const std::string& model) {
    SetSetting set;
    set.setting.set_key(key);
    v1::Quota::Share* share = set.setting.mutable_quota()->add_shares();
    share->set_model(model);
    share->set_limit_milli(limit_milli);
    scene_.Do(set);
  }
  Scene scene_;
};

TEST_F(GrowthTest, WhatCannotStartHoldsNobodyUp) {
  const uint64_t run = Begin();
  Spec held = Spec().Cpu(1000);
  held.spec.mutable_scheduling()->set_hold(true);
  scene_.Submit("held", held);
  scene_.Submit("hopeless", Spec().Cpu(64'000));
  Spec after;
  after.spec.mutable_scheduling()->add_after()->set_job("held");
  scene_.Submit("after", after);
  scene_.Node("n1", 1);
  EXPECT_TRUE(GrowsWith("n1", run));
}

TEST_F(GrowthTest, NotBeyondALimitOfItsQuota) {
  const uint64_t run = Begin();
  Quota("quotas/projects/default", 2500, "cpu");
  scene_.Node("n1", 1);
  EXPECT_FALSE(GrowsWith("n1", run));
  Quota("quotas/projects/default", 3000, "cpu");
  EXPECT_TRUE(GrowsWith("n1", run));
}

TEST_F(GrowthTest, NotOntoDevicesWithTooLittleMemory) {
  Spec spec = Elastic(3, 2).Gpus(1);
  const uint64_t run = Begin(spec, 2);
  ASSERT_NE(run, 0u);
  Spec large = Elastic(3, 2).Gpus(1);
  for (v1::WorkerPool& pool : *large.spec.mutable_worker_pools()) {
    pool.mutable_resources()->set_gpu_memory_bytes(int64_t{1} << 50);
  }
  Scene other;
  other.Node("n0", 2, 2);
  other.Submit("a", large);
  const uint64_t second = other.Job("a").run_uid();
  other.Place(second, {{"n0", {0, 1}}});
  other.Running(second);
  other.Node("n1", 1, 1);
  other.Reconnect("n1");
  EXPECT_EQ(other.Run(second).attempt().stop_us(), 0);
  scene_.Node("n1", 1, 1);
  EXPECT_TRUE(GrowsWith("n1", run));
}

TEST_F(GrowthTest, NotOutOfTheRackItRequires) {
  Spec spec = Elastic(3, 2);
  v1::Topology* topology = spec.spec.mutable_scheduling()->mutable_topology();
  topology->set_domain(v1::Topology::RACK);
  topology->set_at_most(1);
  topology->set_required(true);
  const uint64_t run = Begin(spec);
  scene_.Node("n1", 1, 0, {{"rack", "r1"}});
  EXPECT_FALSE(GrowsWith("n1", run));
  scene_.Node("n2", 1);
  EXPECT_FALSE(GrowsWith("n2", run)) << "nobody knows its rack";
  scene_.Node("n3", 1, 0, {{"rack", "r0"}});
  EXPECT_TRUE(GrowsWith("n3", run));
}

}  // namespace
}  // namespace trainyard::core
