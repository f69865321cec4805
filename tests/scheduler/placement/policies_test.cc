// The policies easy, conservative, las and fair: who starts, who is let past, who makes way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "scheduler/placement/history.h"
#include "scheduler/placement/planner.h"
#include "tests/scheduler/placement/builders.h"

namespace trainyard::placement {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kHour = 3600 * kSecond;

WaitingRun Asks(uint64_t uid, int gpus, int64_t limit_us = 0, const std::string& user = "") {
  WaitingRun run = MakeRun(uid, 1, MakeNeeds(1000, gpus));
  run.time_limit_us = limit_us;
  run.preemptible = true;
  run.project = "p";
  run.principal = user;
  return run;
}

class Scene {
 public:
  explicit Scene(const std::string& policy, int nodes = 1) : Scene(*PolicyNamed(policy), nodes) {}
  Scene(const Policy& policy, int nodes) : planner_(policy) {
    for (int i = 0; i < nodes; ++i) planner_.SetNode(MakeNode(std::string(1, 'a' + i), 64, 8));
  }
  Scene& Add(const WaitingRun& run) {
    planner_.AddWaiting(run, now_us_);
    return *this;
  }
  Scene& End(uint64_t uid) {
    planner_.Remove(uid, now_us_);
    return *this;
  }
  Plan At(int64_t us) {
    now_us_ = us;
    return planner_.Decide(us);
  }
  Planner& planner() { return planner_; }

 private:
  Planner planner_;
  int64_t now_us_ = kSecond;
};

TEST(EasyTest, LetsPastWhoEndsBeforeTheFirstCanStart) {
  Scene scene("easy");
  EXPECT_THAT(Placed(scene.Add(Asks(1, 5, 2 * kHour)).At(kSecond)), ElementsAre(1));
  scene.Add(Asks(2, 8)).Add(Asks(3, 1, 3 * kHour)).Add(Asks(4, 1)).Add(Asks(5, 1, kHour));
  EXPECT_THAT(Placed(scene.At(2 * kSecond)), ElementsAre(5));
  scene.Add(Asks(6, 1, kHour));  // would end in time now, but not in an hour and a half
  scene.Add(Asks(7, 1, kHour / 4));
  EXPECT_THAT(Placed(scene.At(3 * kHour / 2)), ElementsAre(7));
  EXPECT_THAT(Placed(scene.End(5).End(7).At(7 * kHour / 4)), IsEmpty());
  EXPECT_THAT(Placed(scene.End(1).At(2 * kHour)), ElementsAre(2));
}

TEST(EasyTest, LetsPastWhoLeavesTheFirstItsRoom) {
  Scene scene("easy", 2);
  scene.Add(Asks(1, 6, kHour)).Add(Asks(2, 4, 9 * kHour));
  EXPECT_THAT(Placed(scene.At(kSecond)), ElementsAre(1, 2));
  // The first in the queue gets a whole node in an hour; four devices of the other stay free.
  scene.Add(Asks(3, 8)).Add(Asks(4, 3)).Add(Asks(5, 2));
  const Plan plan = scene.At(2 * kSecond);
  EXPECT_THAT(Placed(plan), ElementsAre(4)) << "on the node that the first does not need";
  EXPECT_EQ(plan.placements[0].members[0].node_id, "b");
}

TEST(EasyTest, WithoutLimitsRunsAreExpectedToGoOnAsLongAsTheyHave) {
  Scene scene("easy");
  scene.Add(Asks(1, 6)).At(kSecond);
  scene.At(10 * kHour);
  scene.Add(Asks(2, 8)).Add(Asks(3, 1, 12 * kHour)).Add(Asks(4, 1, 9 * kHour));
  EXPECT_THAT(Placed(scene.At(10 * kHour + 1)), ElementsAre(4));
}

TEST(EasyTest, LooksAtSoManyBehindTheFirst) {
  Policy policy = *PolicyNamed("easy");
  policy.depth = 2;
  Scene scene(policy, 1);
  scene.Add(Asks(1, 4, 2 * kHour)).At(kSecond);
  scene.Add(Asks(2, 8)).Add(Asks(3, 8, kHour)).Add(Asks(4, 1, kHour)).Add(Asks(5, 1, kHour));
  EXPECT_THAT(Placed(scene.At(2 * kSecond)), ElementsAre(4));
}

// Easy keeps its word to the first alone, conservative to everybody.
TEST(ConservativeTest, NobodyIsDelayedByOneBehindIt) {
  for (const char* policy : {"easy", "conservative"}) {
    Scene scene(policy, 2);
    scene.Add(Asks(1, 8, kHour)).Add(Asks(2, 4, 2 * kHour));
    ASSERT_THAT(Placed(scene.At(kSecond)), ElementsAre(1, 2));
    // 3 gets node a in an hour, 4 node b in two; 5 would keep 4 from it for nine, 6 would not.
    scene.Add(Asks(3, 8, 9 * kHour)).Add(Asks(4, 8, kHour));
    scene.Add(Asks(5, 4, 9 * kHour)).Add(Asks(6, 4, kHour));
    const bool keeps = std::string(policy) == "conservative";
    EXPECT_THAT(Placed(scene.At(2 * kSecond)), ElementsAre(keeps ? 6 : 5)) << policy;
  }
}

TEST(ConservativeTest, StartsWhoEndsBeforeThoseBeforeItNeedTheRoom) {
  Scene scene("conservative");
  scene.Add(Asks(1, 5, 2 * kHour)).At(kSecond);
  scene.Add(Asks(2, 8, kHour)).Add(Asks(3, 8, kHour)).Add(Asks(4, 3, 2 * kHour - 2 * kSecond));
  scene.Add(Asks(5, 3, 3 * kHour));
  EXPECT_THAT(Placed(scene.At(2 * kSecond)), ElementsAre(4));
  EXPECT_THAT(Placed(scene.End(4).At(kHour)), IsEmpty()) << "5 would not end in time";
  EXPECT_THAT(Placed(scene.End(1).At(kHour + kSecond)), ElementsAre(2));
  EXPECT_THAT(Placed(scene.End(2).At(2 * kHour)), ElementsAre(3));
  EXPECT_THAT(Placed(scene.End(3).At(3 * kHour)), ElementsAre(5));
}

TEST(ConservativeTest, WhatHasNoLimitIsExpectedToStay) {
  Scene scene("conservative", 2);
  scene.Add(Asks(1, 8, kHour)).Add(Asks(2, 2, 9 * kHour)).At(kSecond);
  // 3 has no limit and gets node a for ever; 4 finds room only on b, when 2 has ended.
  scene.Add(Asks(3, 8)).Add(Asks(4, 8, kHour)).Add(Asks(5, 6, 10 * kHour)).Add(Asks(6, 6, kHour));
  EXPECT_THAT(Placed(scene.At(2 * kSecond)), ElementsAre(6)) << "5 would keep 4 from b";
}

// A run without a limit that has run for ten minutes: as long again, or as runs like it took.
TEST(EasyTest, HistoryTellsWhenRunsWithoutALimitEnd) {
  for (const bool known : {false, true}) {
    Snapshot snapshot;
    snapshot.now_us = kHour;
    snapshot.nodes = {MakeNode("a", 64, 8)};
    RunningRun holder;
    holder.run_uid = 1;
    holder.principal = "ann";
    holder.name = "resnet";
    holder.started_us = kHour - 600 * kSecond;
    holder.ranks = {MakeNeeds(1000, 6)};
    RunningRun::Slice& slice = holder.slices.emplace_back();
    slice.node_id = "a";
    slice.cpu_milli = 1000;
    for (size_t i = 0; i < 6; ++i) {
      slice.device_uuids.push_back(snapshot.nodes[0].devices[i].uuid);
      snapshot.nodes[0].devices[i].milli_free = 0;
    }
    snapshot.running = {holder};
    snapshot.waiting = {Asks(2, 8), Asks(3, 2, 3 * kHour)};
    auto history = std::make_shared<RunTimeHistory>();
    for (int i = 0; known && i < 20; ++i) history->ObserveRun("ann", "resnet", 6, 8 * kHour);
    snapshot.history = history;
    for (const char* policy : {"easy", "conservative"}) {
      const Plan plan = MakePlan(snapshot, *PolicyNamed(policy));
      EXPECT_EQ(plan.placements.size(), known ? 1u : 0u) << policy;
    }
  }
}

TEST(EasyTest, SaysThatTheDevicesAreKept) {
  Snapshot snapshot;
  snapshot.now_us = kHour;
  snapshot.nodes = {MakeNode("a", 64, 8)};
  RunningRun holder;
  holder.run_uid = 1;
  holder.started_us = kSecond;
  holder.time_limit_us = 2 * kHour;
  holder.ranks = {MakeNeeds(1000, 6)};
  RunningRun::Slice& slice = holder.slices.emplace_back();
  slice.node_id = "a";
  slice.cpu_milli = 1000;
  for (int i = 0; i < 6; ++i) {
    slice.device_uuids.push_back(snapshot.nodes[0].devices[static_cast<size_t>(i)].uuid);
    snapshot.nodes[0].devices[static_cast<size_t>(i)].milli_free = 0;
  }
  snapshot.running = {holder};
  snapshot.waiting = {Asks(2, 8), Asks(3, 1)};
  const Plan plan = MakePlan(snapshot, *PolicyNamed("easy"));
  EXPECT_THAT(Placed(plan), IsEmpty());
  ASSERT_EQ(plan.explanations.size(), 2u);
  EXPECT_EQ(plan.explanations[0].reason, "WAITING_FOR_RESOURCES");
  EXPECT_EQ(plan.explanations[1].reason, "WAITING_FOR_RESERVATION");
  EXPECT_THAT(plan.explanations[1].message, HasSubstr("first in the queue"));
  EXPECT_THAT(WhatStarts(snapshot, 3, "easy"), testing::Contains(HasSubstr("time limit")));
}

TEST(LasTest, SinksOnceAndMakesWay) {
  Scene scene("las");
  EXPECT_THAT(Placed(scene.Add(Asks(1, 8)).At(kSecond)), ElementsAre(1));
  scene.Add(Asks(2, 8));
  EXPECT_THAT(Stopped(scene.At(7200 * kSecond)), IsEmpty()) << "7,199 s x 8 devices are its due";
  EXPECT_THAT(Stopped(scene.At(7202 * kSecond)), ElementsAre(1));
}

TEST(FairTest, SharesAreEqualOrAsWeighted) {
  QuotaNode heavy;
  heavy.project = "p";
  heavy.principal = "y";
  heavy.by_model[""].weight = 3;
  Scene scene("fair");
  scene.planner().SetQuotas({heavy});
  for (uint64_t i = 0; i < 8; ++i) scene.Add(Asks(10 + i, 1, 0, "x"));
  for (uint64_t i = 0; i < 8; ++i) scene.Add(Asks(20 + i, 1, 0, "y"));
  const std::vector<uint64_t> placed = Placed(scene.At(kSecond));
  ASSERT_EQ(placed.size(), 8u);
  EXPECT_EQ(std::count_if(placed.begin(), placed.end(), [](uint64_t uid) { return uid < 20; }), 2);
}

TEST(FairTest, AUserOfTwoProjectsHasOneShare) {
  Scene scene("fair");
  for (uint64_t i = 0; i < 8; ++i) {
    WaitingRun run = Asks(10 + i, 1, 0, "x");
    if (i % 2 == 1) run.project = "q";
    scene.Add(run);
  }
  for (uint64_t i = 0; i < 8; ++i) scene.Add(Asks(20 + i, 1, 0, "y"));
  const std::vector<uint64_t> placed = Placed(scene.At(kSecond));
  ASSERT_EQ(placed.size(), 8u);
  EXPECT_EQ(std::count_if(placed.begin(), placed.end(), [](uint64_t uid) { return uid < 20; }), 4);
}

TEST(FairTest, WhoIsBelowItsShareTakesFromWhoIsAbove) {
  Scene scene("fair");
  for (uint64_t i = 0; i < 4; ++i) scene.Add(Asks(10 + i, 2, 0, "x"));
  EXPECT_THAT(Placed(scene.At(kSecond)), UnorderedElementsAre(10, 11, 12, 13));
  scene.Add(Asks(20, 4, 0, "y"));
  EXPECT_THAT(Stopped(scene.At(2 * kSecond)), IsEmpty()) << "within their minimum";
  const std::vector<uint64_t> stopped = Stopped(scene.At(kHour));
  EXPECT_EQ(stopped.size(), 2u) << "half of the node is its share";
  for (const uint64_t uid : stopped) {
    WaitingRun again = Asks(uid, 2, 0, "x");
    again.queued_us = kHour;
    scene.Add(again);
  }
  EXPECT_THAT(Placed(scene.At(kHour + 1)), ElementsAre(20));
  scene.Add(Asks(21, 1, 0, "y"));
  EXPECT_THAT(Stopped(scene.At(3 * kHour)), IsEmpty()) << "both have their share";
  scene.Add(Asks(30, 2, 0, "z"));  // three users: 2.67 devices each
  EXPECT_THAT(Stopped(scene.At(4 * kHour)), IsEmpty()) << "nobody is put below its share";
  scene.Add(Asks(40, 2, 0, "v"));  // four: two each
  EXPECT_EQ(Stopped(scene.At(5 * kHour)).size(), 1u) << "of x, which keeps two";
}

}  // namespace
}  // namespace trainyard::placement
