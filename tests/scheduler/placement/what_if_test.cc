// What is said to start a run is something its user can ask for, in words that say what was tried.
#include "scheduler/placement/what_if.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/placement/explain.h"
#include "tests/scheduler/placement/builders.h"

namespace trainyard::placement {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// One node, wholly held by a run of priority 1000 that nobody may stop, but for `free` GPUs.
Snapshot BusyNode(int gpus, int free) {
  Snapshot snapshot;
  snapshot.now_us = 1'000'000;
  snapshot.nodes = {MakeNode("n1", 64, gpus)};
  RunningRun& holder = snapshot.running.emplace_back();
  holder.run_uid = 1;
  holder.priority = 1000;
  holder.ranks = {MakeNeeds(1000, gpus - free)};
  RunningRun::Slice& slice = holder.slices.emplace_back();
  slice.node_id = "n1";
  for (int i = free; i < gpus; ++i) {
    DeviceView& device = snapshot.nodes[0].devices[static_cast<size_t>(i)];
    device.milli_free = 0;
    slice.device_uuids.push_back(device.uuid);
  }
  return snapshot;
}

TEST(WhatIfTest, PartsOfAGpuAreToldAsParts) {
  Snapshot snapshot = BusyNode(8, 1);
  snapshot.running.front().team = "a";
  WaitingRun run = MakeRun(2, 1, MakeNeeds(1000, 0, 500));
  run.team = "a";
  snapshot.waiting = {run};
  snapshot.quotas.emplace_back().team = "a";
  snapshot.quotas[0].by_model[""].limit_milli = 7000;
  EXPECT_THAT(WhatStarts(snapshot, 2),
              ElementsAre("with a limit of 7.5 GPUs for team a it would start now"));
}

// A guarantee takes back what others borrow, also for a team that has no quota yet.
TEST(WhatIfTest, ATeamWithoutAQuotaIsToldOfAGuarantee) {
  Snapshot snapshot = BusyNode(8, 0);
  snapshot.now_us = int64_t{100} * 3'600'000'000;
  RunningRun& holder = snapshot.running.front();
  holder.priority = 0;
  holder.preemptible = true;
  holder.team = "b";
  holder.started_us = snapshot.now_us - int64_t{24} * 3'600'000'000;
  WaitingRun run = MakeRun(2, 1, MakeNeeds(1000, 4));
  run.team = "a";
  snapshot.waiting = {run};
  const Policy policy = *PolicyNamed("fifo");
  Policy reclaiming = policy;
  reclaiming.preempt = true;
  std::vector<Counterfactual> found;
  for (const Counterfactual& change : WhatIf(snapshot, reclaiming, 2)) {
    if (change.change == Counterfactual::Change::kGuarantee) found.push_back(change);
  }
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].text, "with 4 GPUs guaranteed to team a it would start now");
  EXPECT_TRUE(StartsNow(Apply(found[0], 2, snapshot), reclaiming, 2));
}

// Of two limits above a run, that one is told which keeps it, and no higher than it has to be.
TEST(WhatIfTest, TheLimitThatKeepsTheRunIsTold) {
  Snapshot snapshot = BusyNode(8, 4);
  snapshot.running.front().team = "a";
  WaitingRun run = MakeRun(2, 1, MakeNeeds(1000, 3));
  run.team = "a";
  run.project = "p";
  snapshot.waiting = {run};
  snapshot.quotas.emplace_back().team = "a";
  snapshot.quotas[0].by_model[""].limit_milli = 6000;
  snapshot.quotas.emplace_back().team = "a";
  snapshot.quotas[1].project = "p";
  snapshot.quotas[1].by_model[""].limit_milli = 6000;
  EXPECT_THAT(WhatStarts(snapshot, 2),
              ElementsAre("with 2 GPUs instead of 3 it would start now",
                          "with a limit of 7 GPUs for team a it would start now"));
}

TEST(WhatIfTest, NobodyIsToldToLeaveOutRanksThatDiffer) {
  Snapshot snapshot = BusyNode(8, 2);
  snapshot.waiting = {MakeRun(2, 3, MakeNeeds(1000, 1))};
  EXPECT_THAT(WhatStarts(snapshot, 2), Contains("with 2 ranks instead of 3 it would start now"));
  snapshot.waiting[0].ranks[2] = MakeNeeds(2000, 1);  // a parameter server, say
  EXPECT_THAT(WhatStarts(snapshot, 2), Not(Contains(HasSubstr(" instead of 3 "))));
}

TEST(WhatIfTest, AnElasticRunIsToldOfALowerLeastNumberOfRanks) {
  Snapshot snapshot = BusyNode(8, 2);
  WaitingRun run = MakeRun(2, 6, MakeNeeds(1000, 1));
  run.ranks_min = 4;
  run.ranks_max = 6;
  snapshot.waiting = {run};
  EXPECT_THAT(WhatStarts(snapshot, 2),
              Contains("with at least 2 ranks instead of 4 it would start now"));
  for (const Counterfactual& change : WhatIf(snapshot, *PolicyNamed("las-r"), 2)) {
    if (change.change != Counterfactual::Change::kRanks) continue;
    const Snapshot changed = Apply(change, 2, snapshot);
    EXPECT_EQ(changed.waiting[0].ranks_min, 2);
    EXPECT_EQ(changed.waiting[0].ranks_max, 6) << "it may still grow as far";
  }
}

TEST(WhatIfTest, ReleaseIsAllThatARunOnHoldIsTold) {
  Snapshot snapshot;
  snapshot.now_us = 1'000'000;
  snapshot.nodes = {MakeNode("n1", 64, 8)};
  snapshot.waiting = {MakeRun(2, 1, MakeNeeds(1000, 1))};
  snapshot.waiting[0].hold = true;
  EXPECT_THAT(WhatStarts(snapshot, 2), ElementsAre("released it would start now"));
  Snapshot busy = BusyNode(8, 0);
  busy.waiting = snapshot.waiting;
  EXPECT_THAT(WhatStarts(busy, 2), ElementsAre());
}

// A label may hold any characters: it must not read like another label and a toleration.
TEST(ShapeTest, NamesOfOddCharactersShareNothing) {
  Snapshot snapshot;
  snapshot.now_us = 1'000'000;
  snapshot.nodes = {MakeNode("n1", 64)};
  snapshot.nodes[0].labels["zone"] = "1";
  snapshot.nodes[0].taints.push_back({"a", "b"});
  snapshot.waiting = {MakeRun(1, 1, MakeNeeds(1000)), MakeRun(2, 1, MakeNeeds(1000))};
  snapshot.waiting[0].node_labels["zone"] = "1";
  snapshot.waiting[0].tolerations = {{"a", "b"}};
  snapshot.waiting[1].node_labels["zone"] = "1|~a=b";
  EXPECT_THAT(Placed(MakePlan(snapshot, *PolicyNamed("las-r"))), ElementsAre(1));
}

TEST(ExplainTest, RanksOfOtherSlicesAreNotToldAsEqual) {
  RankNeeds small = MakeNeeds(1000, 1);
  small.gpu_profile = "1g.10gb";
  RankNeeds large = small;
  large.gpu_profile = "3g.40gb";
  WaitingRun run = MakeRun(1, 2, small);
  run.ranks[1] = large;
  EXPECT_THAT(DescribeNeeds(run), HasSubstr("2 ranks, the largest of "));
  run.ranks[1] = small;
  EXPECT_THAT(DescribeNeeds(run), HasSubstr("2 ranks of "));
}

}  // namespace
}  // namespace trainyard::placement
