// The first-in-first-out plan: order, gangs, packing, spreading, devices, and why runs wait.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/placement/builders.h"

namespace trainyard::placement {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Plan PlanOf(std::vector<NodeView> nodes, std::vector<WaitingRun> waiting) {
  Snapshot snapshot;
  snapshot.nodes = std::move(nodes);
  snapshot.waiting = std::move(waiting);
  return MakePlan(snapshot, {});
}

TEST(FifoTest, PlacesOneRankOnTheOnlyNode) {
  const Plan plan = PlanOf({MakeNode("a", 2)}, {MakeRun(1, 1, MakeNeeds(1000))});
  ASSERT_THAT(plan.placements, SizeIs(1));
  ASSERT_THAT(plan.placements[0].members, SizeIs(1));
  EXPECT_EQ(plan.placements[0].members[0].node_id, "a");
  EXPECT_THAT(plan.placements[0].members[0].ranks, ElementsAre(0));
  EXPECT_THAT(plan.explanations, IsEmpty());
}

TEST(FifoTest, HigherPriorityGoesFirstThenOlder) {
  std::vector<WaitingRun> waiting = {MakeRun(1, 1, MakeNeeds(1000)), MakeRun(2, 1, MakeNeeds(1000)),
                                     MakeRun(3, 1, MakeNeeds(1000))};
  waiting[2].priority = 5;
  const Plan plan = PlanOf({MakeNode("a", 2)}, waiting);
  ASSERT_THAT(plan.placements, SizeIs(2));
  EXPECT_EQ(plan.placements[0].run_uid, 3u);
  EXPECT_EQ(plan.placements[1].run_uid, 1u);
  ASSERT_THAT(plan.explanations, SizeIs(1));
  EXPECT_EQ(plan.explanations[0].run_uid, 2u);
}

TEST(FifoTest, GangIsPlacedWholeOrNotAtAll) {
  const Plan refused =
      PlanOf({MakeNode("a", 2), MakeNode("b", 1)}, {MakeRun(1, 4, MakeNeeds(1000))});
  EXPECT_THAT(refused.placements, IsEmpty());
  const Plan placed =
      PlanOf({MakeNode("a", 2), MakeNode("b", 2)}, {MakeRun(1, 4, MakeNeeds(1000))});
  ASSERT_THAT(placed.placements, SizeIs(1));
  ASSERT_THAT(placed.placements[0].members, SizeIs(2));
  EXPECT_THAT(placed.placements[0].members[0].ranks, ElementsAre(0, 1));
  EXPECT_THAT(placed.placements[0].members[1].ranks, ElementsAre(2, 3));
}

TEST(FifoTest, PacksOntoTheTightestNode) {
  const Plan plan =
      PlanOf({MakeNode("big", 16), MakeNode("small", 2)}, {MakeRun(1, 2, MakeNeeds(1000))});
  ASSERT_THAT(plan.placements, SizeIs(1));
  ASSERT_THAT(plan.placements[0].members, SizeIs(1));
  EXPECT_EQ(plan.placements[0].members[0].node_id, "small");
}

TEST(FifoTest, SpreadsOverNodesWhenAsked) {
  WaitingRun run = MakeRun(1, 2, MakeNeeds(1000));
  run.spread = true;
  const Plan plan = PlanOf({MakeNode("a", 8), MakeNode("b", 8)}, {run});
  ASSERT_THAT(plan.placements, SizeIs(1));
  EXPECT_THAT(plan.placements[0].members, SizeIs(2));
}

TEST(FifoTest, HeadHoldsBackThoseBehindIt) {
  const Plan plan =
      PlanOf({MakeNode("a", 4)}, {MakeRun(1, 3, MakeNeeds(1000)), MakeRun(2, 2, MakeNeeds(1000)),
                                  MakeRun(3, 1, MakeNeeds(1000))});
  ASSERT_THAT(plan.placements, SizeIs(1));
  ASSERT_THAT(plan.explanations, SizeIs(2));
  EXPECT_EQ(plan.explanations[0].reason, "WAITING_FOR_RESOURCES");
  EXPECT_THAT(plan.explanations[0].message, HasSubstr("room for 1 of 2 ranks"));
  EXPECT_EQ(plan.explanations[0].position, 1);
  EXPECT_EQ(plan.explanations[1].reason, "WAITING_BEHIND");
  EXPECT_EQ(plan.explanations[1].position, 2);
  EXPECT_THAT(plan.explanations[1].blockers, ElementsAre(2));
}

TEST(FifoTest, RunThatNoNodeCouldHoldDoesNotBlock) {
  const Plan plan = PlanOf({MakeNode("a", 4, 4)},
                           {MakeRun(1, 1, MakeNeeds(1000, 8)), MakeRun(2, 1, MakeNeeds(1000))});
  ASSERT_THAT(plan.placements, SizeIs(1));
  EXPECT_EQ(plan.placements[0].run_uid, 2u);
  ASSERT_THAT(plan.explanations, SizeIs(1));
  EXPECT_EQ(plan.explanations[0].reason, "NO_CAPACITY");
  EXPECT_EQ(plan.explanations[0].message, "needs 8 GPUs on one node, the largest node has 4");
}

TEST(FifoTest, SaysHowManyGpusAreFree) {
  NodeView node = MakeNode("a", 16, 8);
  for (int i = 0; i < 4; ++i) node.devices[i].milli_free = 0;
  const Plan plan = PlanOf({node}, {MakeRun(1, 1, MakeNeeds(1000, 8))});
  ASSERT_THAT(plan.explanations, SizeIs(1));
  EXPECT_EQ(plan.explanations[0].reason, "WAITING_FOR_RESOURCES");
  EXPECT_EQ(plan.explanations[0].message, "needs 8 GPUs on one node, largest free is 4");
}

TEST(FifoTest, NodesThatTakeNoWorkAreNamed) {
  NodeView drained = MakeNode("gpu", 8, 8);
  drained.schedulable = false;
  drained.unschedulable_reason = "draining";
  const Plan plan = PlanOf({MakeNode("a", 2), drained},
                           {MakeRun(1, 1, MakeNeeds(1000, 8)), MakeRun(2, 1, MakeNeeds(1000))});
  ASSERT_THAT(plan.placements, SizeIs(1)) << "a run that waits for a drained node blocks nobody";
  ASSERT_THAT(plan.explanations, SizeIs(1));
  EXPECT_EQ(plan.explanations[0].reason, "WAITING_FOR_NODES");
  EXPECT_THAT(plan.explanations[0].message, HasSubstr("gpu (draining)"));
}

TEST(FifoTest, WithoutNodesEverybodyWaitsForOne) {
  const Plan plan = PlanOf({}, {MakeRun(1, 1, MakeNeeds(1000))});
  ASSERT_THAT(plan.explanations, SizeIs(1));
  EXPECT_EQ(plan.explanations[0].reason, "WAITING_FOR_NODES");
}

TEST(FifoTest, AvoidsNodesItFailedOnWhileOthersCouldHoldIt) {
  WaitingRun run = MakeRun(1, 1, MakeNeeds(1000));
  run.avoid_nodes = {"a"};
  const Plan other = PlanOf({MakeNode("a", 1), MakeNode("b", 8)}, {run});
  ASSERT_THAT(other.placements, SizeIs(1));
  EXPECT_EQ(other.placements[0].members[0].node_id, "b");
  const Plan only = PlanOf({MakeNode("a", 1)}, {run});
  ASSERT_THAT(only.placements, SizeIs(1)) << "the only node is used although it failed before";
}

TEST(FifoTest, FractionsShareADeviceAndLeaveWholeOnesFree) {
  std::vector<WaitingRun> waiting = {MakeRun(1, 1, MakeNeeds(100, 0, 500)),
                                     MakeRun(2, 1, MakeNeeds(100, 0, 500)),
                                     MakeRun(3, 1, MakeNeeds(100, 1))};
  const Plan plan = PlanOf({MakeNode("a", 8, 2)}, waiting);
  ASSERT_THAT(plan.placements, SizeIs(3));
  EXPECT_EQ(plan.placements[0].members[0].rank_devices[0],
            plan.placements[1].members[0].rank_devices[0]);
  EXPECT_NE(plan.placements[0].members[0].rank_devices[0],
            plan.placements[2].members[0].rank_devices[0]);
}

TEST(FifoTest, PrefersTheFirstNamedModelAndOneLinkIsland) {
  WaitingRun run = MakeRun(1, 1, MakeNeeds(1000, 4));
  run.ranks[0].gpu_models = {"H100", "A100"};
  NodeView mixed = MakeNode("a", 32, 8, "A100");
  NodeView best = MakeNode("b", 32, 8, "H100");
  best.devices[0].milli_free = 0;  // the first island has three left, the second four
  const Plan plan = PlanOf({mixed, best}, {run});
  ASSERT_THAT(plan.placements, SizeIs(1));
  EXPECT_THAT(plan.placements[0].members[0].rank_devices[0],
              ElementsAre("b-gpu4", "b-gpu5", "b-gpu6", "b-gpu7"));
}

TEST(FifoTest, UnhealthyDevicesAreNotGivenOut) {
  NodeView node = MakeNode("a", 8, 1);
  node.devices[0].healthy = false;
  const Plan plan = PlanOf({node}, {MakeRun(1, 1, MakeNeeds(1000, 1))});
  EXPECT_THAT(plan.placements, IsEmpty());
  EXPECT_EQ(plan.explanations[0].reason, "NO_CAPACITY");
}

TEST(FifoTest, HeldRunWaitsAndBlocksNobody) {
  std::vector<WaitingRun> waiting = {MakeRun(1, 1, MakeNeeds(1000)),
                                     MakeRun(2, 1, MakeNeeds(1000))};
  waiting[0].hold = true;
  const Plan plan = PlanOf({MakeNode("a", 1)}, waiting);
  ASSERT_THAT(plan.placements, SizeIs(1));
  EXPECT_EQ(plan.placements[0].run_uid, 2u);
  EXPECT_THAT(plan.explanations[0].message, HasSubstr("held"));
}

TEST(FifoTest, AnElasticRunTakesWhatThereIsDownToItsFewest) {
  WaitingRun run = MakeRun(1, 5, MakeNeeds(1000));
  run.ranks_min = 2;
  Plan plan = PlanOf({MakeNode("a", 1), MakeNode("b", 2)}, {run});
  ASSERT_THAT(plan.placements, SizeIs(1));
  std::vector<int32_t> ranks;
  for (const PlannedMember& member : plan.placements[0].members) {
    ranks.insert(ranks.end(), member.ranks.begin(), member.ranks.end());
  }
  EXPECT_THAT(ranks, ::testing::UnorderedElementsAre(0, 1, 2));
  EXPECT_EQ(plan.placements[0].members[0].ranks[0], 0);
  plan = PlanOf({MakeNode("a", 1)}, {run});
  EXPECT_THAT(plan.placements, IsEmpty());
  plan = PlanOf({MakeNode("a", 8)}, {run});
  ASSERT_THAT(plan.placements, SizeIs(1));
  EXPECT_THAT(plan.placements[0].members[0].ranks, SizeIs(5));
}

}  // namespace
}  // namespace trainyard::placement
