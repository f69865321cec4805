// Elastic runs in the queue: what they have beyond their minimum goes to whom a plan gives it, and
// the rest of them goes on.
#include <gtest/gtest.h>

#include "scheduler/runtime/planner_view.h"
#include "tests/scheduler/runtime/scene.h"

namespace trainyard::runtime {
namespace {

v1::JobSpec Elastic(int ranks, int fewest) {
  v1::JobSpec spec = MakeSpec(ranks);
  spec.mutable_launch()->set_launcher(v1::DIRECT);
  spec.mutable_launch()->set_min_replicas(fewest);
  spec.mutable_scheduling()->set_preemptible(true);
  return spec;
}

journal::v1::RunRow RunOf(const Scene& scene, uint64_t job) {
  return *scene.view().Run(scene.view().Job(job)->run_uid());
}

int RanksOf(const journal::v1::RunRow& run) {
  int ranks = 0;
  for (const journal::v1::MemberRow& member : run.attempt().members()) ranks += member.ranks_size();
  return ranks;
}

TEST(ElasticPlanTest, ShrinksForWhoGoesFirstAndGrowsBack) {
  Scene scene;
  scene.policy = *placement::PolicyNamed("las-r");
  scene.Restart();
  scene.Connect("n1", 4);
  const uint64_t elastic = scene.Submit("elastic", Elastic(4, 2));
  const auto ordered = scene.Ordered("n1");
  ASSERT_EQ(ordered.size(), 1u);
  agent::v1::Fact fact;
  *fact.mutable_key() = ordered[0].key();
  fact.mutable_running()->set_pid(1);
  scene.Tell("n1", fact);
  ASSERT_EQ(RanksOf(RunOf(scene, elastic)), 4);
  const auto pass = [&](int seconds) {
    for (int i = 0; i < seconds; i += 5) {
      scene.clock.Pass(absl::Seconds(5));
      EXPECT_TRUE(scene.runtime().AgentHeartbeat("n1"));
      scene.Step();
    }
  };
  pass(900);  // a victim ran its minimum

  v1::JobSpec urgent = MakeSpec(1, 1500);
  urgent.mutable_scheduling()->set_priority(7);
  const uint64_t first = scene.Submit("urgent", urgent);
  pass(10);
  const journal::v1::AttemptRow stopped = RunOf(scene, elastic).attempt();
  ASSERT_EQ(stopped.stop_reason(), agent::v1::STOP_RESIZE) << stopped.ShortDebugString();
  EXPECT_EQ(stopped.stop_why(), "a run that goes first needs the devices; 2 of its 4 ranks stay");
  fact.mutable_exited()->set_stopped_on_request(true);
  fact.mutable_exited()->mutable_record()->set_cause(v1::PREEMPTED_CAUSE);
  scene.Tell("n1", fact);
  EXPECT_EQ(RunOf(scene, elastic).preemptions(), 0);
  fact.mutable_released();
  scene.Tell("n1", fact);
  pass(10);
  EXPECT_EQ(RunOf(scene, first).state(), journal::v1::R_ACTIVE);
  ASSERT_EQ(RunOf(scene, elastic).state(), journal::v1::R_ACTIVE);
  EXPECT_EQ(RanksOf(RunOf(scene, elastic)), 2);
}

TEST(ElasticPlanTest, ARunIsSeenWithWhatItHasAndWhatItCouldHave) {
  Scene scene;
  scene.Connect("n1", 3);
  const uint64_t uid = scene.Submit("elastic", Elastic(4, 2));
  const core::State& state = scene.runtime().engine().state();
  const journal::v1::RunRow run = RunOf(scene, uid);
  ASSERT_EQ(RanksOf(run), 3);
  const placement::RunningRun running =
      RunningOf(state, run, *state.jobs.at(uid), *state.specs.at(uid), 0);
  EXPECT_EQ(running.ranks.size(), 3u);
  EXPECT_EQ(running.ranks_min, 2);
  EXPECT_EQ(running.ranks_max, 4);
}

TEST(ElasticPlanTest, SlicesTopologyAndMemoryReachThePlan) {
  Scene scene;
  scene.Connect("n1", 4);
  v1::JobSpec spec = MakeSpec();
  v1::Resources* resources = spec.mutable_worker_pools(0)->mutable_resources();
  resources->set_gpu_count(2);
  resources->set_gpu_profile("3g.40gb");
  resources->set_gpu_memory_bytes(int64_t{30} << 30);
  v1::Topology* topology = spec.mutable_scheduling()->mutable_topology();
  topology->set_domain(v1::Topology::RACK);
  topology->set_at_most(2);
  topology->set_required(true);
  const uint64_t uid = scene.Submit("a", spec);
  const core::State& state = scene.runtime().engine().state();
  const placement::WaitingRun waiting =
      WaitingOf(state, RunOf(scene, uid), *state.jobs.at(uid), *state.specs.at(uid));
  ASSERT_EQ(waiting.ranks.size(), 1u);
  EXPECT_EQ(waiting.ranks[0].gpu_profile, "3g.40gb");
  EXPECT_EQ(waiting.ranks[0].gpu_memory_bytes, int64_t{30} << 30);
  EXPECT_EQ(waiting.topology.domain, placement::Domain::kRack);
  EXPECT_EQ(waiting.topology.domains_max, 2);
  EXPECT_TRUE(waiting.topology.required);

  journal::v1::AgentRow agent = *state.agents.at("n1");
  v1::Device* whole = agent.mutable_inventory()->add_devices();
  whole->set_uuid("GPU-1");
  whole->set_healthy(true);
  v1::Device* slice = agent.mutable_inventory()->add_devices();
  slice->set_uuid("MIG-1");
  slice->set_parent("GPU-1");
  slice->set_profile("3g.40gb");
  slice->set_healthy(true);
  const placement::NodeView node = EmptyNode(agent);
  ASSERT_EQ(node.devices.size(), 2u);
  EXPECT_EQ(node.devices[1].parent_uuid, "GPU-1");
  EXPECT_EQ(node.devices[1].profile, "3g.40gb");
}

}  // namespace
}  // namespace trainyard::runtime
