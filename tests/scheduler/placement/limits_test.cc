// Quotas by device model: a guarantee is honoured on its model, a limit leaves the other models,
// and who waits is told which limit it is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/placement/planner.h"
#include "tests/scheduler/placement/builders.h"

namespace trainyard::placement {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kHour = 3600 * kSecond;

WaitingRun Of(uint64_t uid, const std::string& team, int gpus = 1,
              const std::vector<std::string>& models = {}) {
  WaitingRun run = MakeRun(uid, 1, MakeNeeds(1000, gpus));
  run.queued_us = kSecond;
  run.team = team;
  run.ranks[0].gpu_models = models;
  return run;
}

// Two A100 on one node, two T4 on another.
class LimitsTest : public testing::Test {
 protected:
  LimitsTest() {
    snapshot_.now_us = kHour;
    snapshot_.nodes = {MakeNode("a", 64, 2, "A100"), MakeNode("t", 64, 2, "T4")};
  }
  QuotaShare& Share(const std::string& team, const std::string& model) {
    for (QuotaNode& node : snapshot_.quotas) {
      if (node.team == team) return node.by_model[model];
    }
    snapshot_.quotas.emplace_back().team = team;
    return snapshot_.quotas.back().by_model[model];
  }
  // Runs on one device, may not be preempted.
  void Hold(const std::string& node, uint64_t uid, const std::string& team) {
    RunningRun& run = snapshot_.running.emplace_back();
    run.run_uid = uid;
    run.team = team;
    run.started_us = kSecond;
    run.last_checkpoint_us = node == "t" ? kHour : 0;  // T4s cost least
    run.ranks = {MakeNeeds(1000, 1)};
    RunningRun::Slice& slice = run.slices.emplace_back();
    slice.node_id = node;
    slice.cpu_milli = 1000;
    for (NodeView& view : snapshot_.nodes) {
      if (view.node_id != node) continue;
      for (DeviceView& device : view.devices) {
        if (device.milli_free == 0) continue;
        device.milli_free = 0;
        slice.device_uuids = {device.uuid};
        break;
      }
    }
  }
  Plan Make() { return MakePlan(snapshot_, *PolicyNamed("las-r")); }
  std::string NodeOf(const Plan& plan, uint64_t uid) {
    for (const Placement& placement : plan.placements) {
      if (placement.run_uid == uid) return placement.members[0].node_id;
    }
    return "";
  }
  Snapshot snapshot_;
};

TEST_F(LimitsTest, AGuaranteeOfOneModelTakesNothingBackOnAnother) {
  Share("us", "A100").guarantee_milli = 2000;
  Hold("t", 1, "them");
  Hold("t", 2, "them");
  Hold("a", 3, "them");
  Hold("a", 4, "them");
  snapshot_.waiting = {Of(10, "us")};
  const Plan plan = Make();
  ASSERT_EQ(plan.preemptions.size(), 1u);
  EXPECT_TRUE(plan.preemptions[0].run_uid == 3 || plan.preemptions[0].run_uid == 4)
      << "an A100, not what costs least";
  // Where it has used its guarantee, and on models that have none, it waits like everybody.
  snapshot_.running.clear();
  for (NodeView& node : snapshot_.nodes) {
    for (DeviceView& device : node.devices) device.milli_free = 1000;
  }
  Hold("a", 3, "us");
  Hold("a", 4, "us");
  Hold("t", 1, "them");
  Hold("t", 2, "them");
  EXPECT_THAT(Make().preemptions, IsEmpty());
}

TEST_F(LimitsTest, WhatNoGuaranteeCoversHasItsTurnOnOtherModels) {
  Share("us", "A100").guarantee_milli = 2000;
  snapshot_.nodes[0].schedulable = false;
  WaitingRun before = Of(10, "them");
  before.priority = 1;
  snapshot_.waiting = {before, Of(11, "us"), Of(12, "them")};
  const Plan plan = Make();
  EXPECT_EQ(NodeOf(plan, 11), "t") << "no A100 takes work";
  EXPECT_THAT(Placed(plan), ElementsAre(10, 11)) << "in its order";
}

TEST_F(LimitsTest, ALimitOfOneModelLeavesTheOthers) {
  Share("us", "A100").limit_milli = 1000;
  Hold("a", 1, "us");
  for (const auto& models : {std::vector<std::string>{}, {"A100", "T4"}}) {
    snapshot_.waiting = {Of(10, "us", 1, models), Of(11, "us", 1, models), Of(12, "us", 1, models)};
    const Plan plan = Make();
    EXPECT_THAT(Placed(plan), ElementsAre(10, 11));
    EXPECT_EQ(NodeOf(plan, 10), "t");
    ASSERT_EQ(plan.explanations.size(), 1u);
    EXPECT_EQ(plan.explanations[0].reason, "WAITING_FOR_RESOURCES");
    EXPECT_THAT(plan.explanations[0].message, HasSubstr("its quota leaves it only T4"));
  }
}

TEST_F(LimitsTest, OthersOfTheShapeAreNotHeldUpByOneThatMayNotUseAModel) {
  Share("us", "A100").limit_milli = 0;
  Hold("t", 1, "them");
  Hold("t", 2, "them");
  snapshot_.waiting = {Of(10, "us"), Of(11, "them")};
  const Plan plan = Make();
  EXPECT_THAT(Placed(plan), ElementsAre(11));
  EXPECT_EQ(NodeOf(plan, 11), "a");
}

TEST_F(LimitsTest, WhoWaitsIsToldTheLimitThatKeepsIt) {
  Share("us", "A100").limit_milli = 1000;
  Hold("a", 1, "us");
  snapshot_.waiting = {Of(10, "us", 1, {"A100"})};
  Plan plan = Make();
  ASSERT_EQ(plan.explanations.size(), 1u);
  EXPECT_EQ(plan.explanations[0].reason, "QUOTA_EXCEEDED");
  EXPECT_EQ(plan.explanations[0].message,
            "team us uses 1 of its limit of 1 A100 GPUs; this run needs 1 more");

  snapshot_.quotas.clear();
  Share("us", "cpu").limit_milli = 1500;
  plan = Make();
  ASSERT_EQ(plan.explanations.size(), 1u);
  EXPECT_EQ(plan.explanations[0].reason, "QUOTA_EXCEEDED");
  EXPECT_EQ(plan.explanations[0].message,
            "team us uses 1 of its limit of 1.5 cores; this run needs 1 more");

  // That one never passes by itself.
  snapshot_.quotas.clear();
  Share("us", "A100").limit_milli = 500;
  plan = Make();
  ASSERT_EQ(plan.explanations.size(), 1u);
  EXPECT_EQ(plan.explanations[0].reason, "QUOTA_BELOW_NEED");
  EXPECT_FALSE(plan.explanations[0].estimated_start_us > 0) << "it was told when it would start";
}

// The cores beside its devices are no guarantee of those devices.
TEST_F(LimitsTest, AGuaranteeOfCoresDoesNotKeepDevices) {
  Share("us", "").guarantee_milli = 4000;
  Share("them", "cpu").guarantee_milli = 64'000;
  for (const uint64_t uid : {1, 2}) Hold("a", uid, "them");
  for (const uint64_t uid : {3, 4}) Hold("t", uid, "them");
  snapshot_.waiting = {Of(10, "us")};
  EXPECT_EQ(Make().preemptions.size(), 1u);
}

}  // namespace
}  // namespace trainyard::placement
