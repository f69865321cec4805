// Plans are checked again item by item: what does not fit any more goes on waiting.
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "scheduler/core/run_machine.h"
#include "tests/scheduler/core/scene.h"

namespace trainyard::core {
namespace {

bool Placed(const Scene& scene, uint64_t run) {
  return scene.Run(run).state() == records::R_ACTIVE;
}

TEST(PlaceTest, EpochHoldsIncarnationAndCounter) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("a");
  scene.Submit("b");
  scene.PlaceAll();
  const uint64_t a = scene.RunOf("a").attempt().epoch();
  const uint64_t b = scene.RunOf("b").attempt().epoch();
  EXPECT_EQ(a >> 32, scene.state().server.incarnation());
  EXPECT_EQ(b, a + 1);
  scene.Restart();
  scene.Submit("c");
  scene.PlaceAll();
  EXPECT_GT(scene.RunOf("c").attempt().epoch(), b);
  EXPECT_EQ(scene.RunOf("c").attempt().epoch() >> 32, scene.state().server.incarnation());
}

TEST(PlaceTest, TwoPlansForOneRoomPlaceOne) {
  Scene scene;
  scene.Node("n1", 1);
  scene.Submit("a");
  scene.Submit("b");
  ApplyPlan plan;
  plan.placements.push_back(scene.Plan(scene.Job("a").run_uid(), {{"n1", {0}}}));
  plan.placements.push_back(scene.Plan(scene.Job("b").run_uid(), {{"n1", {0}}}));
  plan.placements.push_back(plan.placements[0]);
  scene.Do(plan, System());
  EXPECT_TRUE(Placed(scene, scene.Job("a").run_uid()));
  EXPECT_FALSE(Placed(scene, scene.Job("b").run_uid()));
}

// Members of strict runs are gone everywhere before the next attempt, but on nodes that were given
// up: their lease ended them.
TEST(PlaceTest, StrictRunWaitsForEveryMemberOfItsLastAttempt) {
  for (const bool strict : {false, true}) {
    Scene scene;
    for (const char* node : {"n1", "n2", "n3", "n4"}) scene.Node(node, 1);
    Spec spec = Spec().Ranks(3).Retries(5);
    spec.spec.mutable_scheduling()->set_strict_lease(strict);
    scene.Submit("a", spec);
    const uint64_t run = scene.Job("a").run_uid();
    scene.Place(run, {{"n1", {0}}, {"n2", {1}}, {"n3", {2}}});
    for (int member = 0; member < 3; ++member) scene.Prepared(run, member);
    for (int member = 0; member < 3; ++member) scene.Running(run, member);
    scene.Exit(run, 1, Failure(v1::USER_ERROR));
    scene.Release(run, 1);
    scene.Stopped(run, 0);
    scene.Stopped(run, 2);
    scene.Pass(600);
    ASSERT_EQ(scene.Run(run).state(), records::R_WAITING);
    scene.Node("n5", 3);
    scene.Place(run, {{"n5", {0, 1, 2}}});
    EXPECT_EQ(Placed(scene, run), !strict) << "two members of the first attempt may compute";
    if (!strict) continue;
    scene.Lose("n1");
    scene.Place(run, {{"n5", {0, 1, 2}}});
    EXPECT_FALSE(Placed(scene, run)) << "n3 holds a member";
    scene.Lose("n3");
    scene.Place(run, {{"n5", {0, 1, 2}}});
    EXPECT_TRUE(Placed(scene, run));
  }
}

TEST(PlaceTest, RefusesWhatIsNotAWholeGang) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("a", Spec().Ranks(3));
  const uint64_t run = scene.Job("a").run_uid();
  scene.Place(run, {{"n1", {0, 1}}});
  EXPECT_FALSE(Placed(scene, run)) << "a rank is missing";
  scene.Place(run, {{"n1", {0, 1, 1}}});
  EXPECT_FALSE(Placed(scene, run)) << "a rank stands twice";
  scene.Place(run, {{"n1", {0, 1, 7}}});
  EXPECT_FALSE(Placed(scene, run)) << "there is no rank 7";
  scene.Place(run, {{"n1", {1}}, {"n1", {0, 2}}});
  EXPECT_FALSE(Placed(scene, run)) << "the head must hold rank 0";
  scene.Place(run, {{"n1", {0, 1, 2}}, {"n2", {}}});
  EXPECT_FALSE(Placed(scene, run)) << "there is no node n2";
  scene.Place(run, {{"n1", {0, 2}}, {"n1", {1}}});
  EXPECT_TRUE(Placed(scene, run)) << "two members on one node are fine";
}

TEST(PlaceTest, MembersOfOneGangDoNotShareRoom) {
  Scene scene;
  scene.Node("n1", 2, 2);
  scene.Submit("a", Spec().Ranks(2).Gpus(1));
  const uint64_t run = scene.Job("a").run_uid();
  PlacedRun plan = scene.Plan(run, {{"n1", {0}}, {"n1", {1}}});
  PlacedRun twice = plan;
  *twice.members[1].mutable_ranks(0)->mutable_device_uuids(0) = "n1-gpu0";
  ApplyPlan command;
  command.placements.push_back(twice);
  scene.Do(command, System());
  EXPECT_FALSE(Placed(scene, run)) << "one device for two ranks";
  command.placements[0] = plan;
  scene.Do(command, System());
  EXPECT_TRUE(Placed(scene, run));
}

TEST(PlaceTest, FractionsOfADeviceAddUp) {
  Scene scene;
  scene.Node("n1", 8, 1);
  for (const char* job : {"a", "b", "c"}) scene.Submit(job, Spec().GpuMilli(400));
  for (const char* job : {"a", "b", "c"}) {
    const uint64_t run = scene.Job(job).run_uid();
    ApplyPlan plan;
    plan.placements.push_back(scene.Plan(run, {{"n1", {0}}}));
    plan.placements[0].members[0].mutable_ranks(0)->clear_device_uuids();
    plan.placements[0].members[0].mutable_ranks(0)->add_device_uuids("n1-gpu0");
    scene.Do(plan, System());
  }
  EXPECT_TRUE(Placed(scene, scene.Job("a").run_uid()));
  EXPECT_TRUE(Placed(scene, scene.Job("b").run_uid()));
  EXPECT_FALSE(Placed(scene, scene.Job("c").run_uid())) << "1,200 thousandths of one device";
}

TEST(PlaceTest, RefusesSickDevicesAndAbsentNodes) {
  Scene scene;
  scene.Node("n1", 8, 1);
  scene.Submit("a", Spec().Gpus(1));
  const uint64_t run = scene.Job("a").run_uid();
  wire::Fact sick;
  *sick.mutable_inventory_changed() = scene.state().agents.at("n1")->inventory();
  sick.mutable_inventory_changed()->mutable_devices(0)->set_healthy(false);
  scene.Tell("n1", sick);
  scene.Place(run, {{"n1", {0}}});
  EXPECT_FALSE(Placed(scene, run));
  scene.Lose("n1");
  scene.Place(run, {{"n1", {0}}});
  EXPECT_FALSE(Placed(scene, run));
}

TEST(PlaceTest, SharesOfAReplicaGoToItsProcesses) {
  Scene scene;
  scene.Node("n1", 8, 4);
  Spec spec;
  spec.Cpu(4000).Gpus(4).spec.mutable_launch()->set_processes_per_replica(4);
  scene.Submit("a", spec);
  const uint64_t run = scene.Job("a").run_uid();
  scene.Place(run, {{"n1", {0, 1, 2, 3}}});
  ASSERT_TRUE(Placed(scene, run));
  EXPECT_EQ(scene.Run(run).attempt().members(0).cpu_milli(), 4000);
  EXPECT_EQ(scene.Run(run).attempt().members(0).device_uuids_size(), 4);
  EXPECT_EQ(scene.Run(run).attempt().members(0).ranks(3).device_uuids_size(), 1);
}

TEST(PlaceTest, EvaluatorsAreNoRanks) {
  Scene scene;
  scene.Node("n1");
  Spec spec;
  *spec.spec.add_worker_pools() = spec.spec.worker_pools(0);
  spec.spec.mutable_worker_pools(1)->set_role("evaluator");
  scene.Submit("a", spec);
  scene.Place(scene.Job("a").run_uid(), {{"n1", {0}}});
  EXPECT_TRUE(Placed(scene, scene.Job("a").run_uid()));
}

// What may be preempted is told to stop when a node is wanted; until then it uses it.
TEST(PlaceTest, OnlyWhatMayBePreemptedUsesANodeThatWillBeWanted) {
  for (const bool preemptible : {false, true}) {
    for (const bool leaves : {false, true}) {
      SCOPED_TRACE(absl::StrCat(preemptible, leaves));
      Scene scene;
      scene.Node("n1");
      const int64_t at = scene.now_us() / kSecondUs + 600;
      if (leaves) {
        wire::Fact fact;
        *fact.mutable_inventory_changed() = scene.state().agents.at("n1")->inventory();
        fact.mutable_inventory_changed()->mutable_available_until()->set_seconds(at + 120);
        scene.Tell("n1", fact);
      } else {
        SetSetting set;
        set.setting.set_key("reservations/works");
        set.setting.mutable_reservation()->add_nodes("n1");
        set.setting.mutable_reservation()->mutable_start_time()->set_seconds(at);
        set.setting.mutable_reservation()->mutable_end_time()->set_seconds(at + 600);
        scene.Do(set);
      }
      Spec spec = Spec().Timeout(3600);
      spec.spec.mutable_scheduling()->set_preemptible(preemptible);
      scene.Submit("a", spec);
      const uint64_t run = scene.Job("a").run_uid();
      ApplyPlan plan;
      plan.placements = {scene.Plan(run, {{"n1", {0}}})};
      const auto decision = scene.Try(plan, System());
      ASSERT_TRUE(decision.ok());
      EXPECT_EQ(Placed(scene, run), preemptible);
      if (!preemptible) {
        ASSERT_EQ(decision->refusals.size(), 1u);
        EXPECT_EQ(decision->refusals[0].run_uid, run);
        EXPECT_EQ(decision->refusals[0].node_id, "n1");
        EXPECT_EQ(decision->refusals[0].why, leaves ? "n1 goes away before the run surely ends"
                                                    : "n1 is reserved before the run surely ends");
        continue;
      }
      EXPECT_TRUE(decision->refusals.empty());
      scene.Running(run);
      scene.Pass(601);
      EXPECT_EQ(scene.Run(run).attempt().stop_reason(), wire::STOP_PREEMPT);
      scene.Stopped(run);
      scene.Release(run);
      ASSERT_EQ(scene.Run(run).state(), records::R_WAITING);
      scene.Place(run, {{"n1", {0}}});
      EXPECT_FALSE(Placed(scene, run)) << "it is wanted now";
    }
  }
}

TEST(PlaceTest, AnOldPlanDoesNotBreakALimit) {
  Scene scene;
  scene.Node("n1", 8);
  SetSetting set;
  set.setting.set_key("quotas/projects/default");
  v1::Quota::Share* share = set.setting.mutable_quota()->add_shares();
  share->set_model("cpu");
  share->set_limit_milli(2500);
  scene.Do(set);
  ApplyPlan plan;
  for (const char* job : {"a", "b", "c"}) {
    scene.Submit(job, Spec().Cpu(1000));
    plan.placements.push_back(scene.Plan(scene.Job(job).run_uid(), {{"n1", {0}}}));
  }
  const auto decision = scene.Try(plan, System());
  ASSERT_TRUE(decision.ok());
  EXPECT_TRUE(Placed(scene, scene.Job("b").run_uid()));
  EXPECT_FALSE(Placed(scene, scene.Job("c").run_uid()));
  ASSERT_EQ(decision->refusals.size(), 1u);
  EXPECT_EQ(decision->refusals[0].node_id, "");
  EXPECT_EQ(decision->refusals[0].why,
            "projects/default uses 2 of its limit of 2.5 cores and the run needs 1 more");
  plan.placements.erase(plan.placements.begin(), plan.placements.begin() + 2);
  EXPECT_EQ(scene.Try(plan, System())->refusals.size(), 1u) << "by what runs";
}

TEST(PlaceTest, OnlyTheSchedulerPlaces) {
  Scene scene;
  EXPECT_EQ(scene.Try(ApplyPlan(), Admin()).status().code(), absl::StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace trainyard::core
