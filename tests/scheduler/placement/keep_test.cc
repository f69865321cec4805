// Gangs among runs that may not be preempted: nodes are kept for them, and what makes way for them
// still uses those nodes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "scheduler/placement/planner.h"
#include "tests/scheduler/placement/builders.h"

namespace trainyard::placement {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kHour = 3600 * kSecond;

WaitingRun Firm(uint64_t uid, int gpus, int ranks = 1) {
  WaitingRun run = MakeRun(uid, ranks, MakeNeeds(1000, gpus));
  run.queued_us = kSecond;
  return run;
}
WaitingRun Soft(uint64_t uid, int gpus) {
  WaitingRun run = Firm(uid, gpus);
  run.preemptible = true;
  return run;
}

std::vector<std::string> KeptNodes(const Plan& plan, uint64_t uid) {
  std::vector<std::string> nodes;
  for (const Reservation& reservation : plan.reservations) {
    if (reservation.run_uid != uid) continue;
    for (const Reservation::Hold& hold : reservation.holds) nodes.push_back(hold.node_id);
  }
  return nodes;
}

// Two nodes of eight; a firm run holds six of `a`, another two of `b`.
class KeepTest : public testing::Test {
 protected:
  KeepTest() : planner_(*PolicyNamed("las-r")) {
    planner_.SetNode(MakeNode("a", 64, 8));
    planner_.AddWaiting(Firm(1, 6), kSecond);
    EXPECT_THAT(Decide(0), ElementsAre(1));
    planner_.SetNode(MakeNode("b", 64, 8));
    WaitingRun small = Firm(2, 2);
    small.avoid_nodes = {"a"};
    planner_.AddWaiting(small, kSecond);
    EXPECT_THAT(Decide(1), ElementsAre(2));
  }
  std::vector<uint64_t> Decide(int64_t seconds) {
    now_us_ = kSecond * (1 + seconds);
    plan_ = planner_.Decide(now_us_);
    plan_.reservations = planner_.Claims();
    return Placed(plan_);
  }
  void Add(const WaitingRun& run) { planner_.AddWaiting(run, now_us_); }

  Planner planner_;
  Plan plan_;
  int64_t now_us_ = 0;
};

TEST_F(KeepTest, SmallRunsDoNotStarveAGang) {
  Add(Firm(3, 8));  // fits nowhere; `b` has less to wait for
  EXPECT_THAT(Decide(2), IsEmpty());
  EXPECT_THAT(KeptNodes(plan_, 3), ElementsAre("b"));
  for (uint64_t uid = 10; uid < 14; ++uid) Add(Firm(uid, 1));
  EXPECT_THAT(Decide(3), ElementsAre(10, 11)) << "the two that are free on a";
  planner_.Remove(2, now_us_);
  EXPECT_THAT(Decide(4), ElementsAre(3));
  EXPECT_THAT(KeptNodes(plan_, 3), IsEmpty());
  planner_.Remove(3, now_us_);
  EXPECT_THAT(Decide(5), UnorderedElementsAre(12, 13)) << "nothing is kept any more";
}

TEST_F(KeepTest, WithoutKeepingTheyWould) {
  Policy policy = *PolicyNamed("las-r");
  policy.keep_share = 0;
  Planner planner(policy);
  planner.SetNode(MakeNode("b", 64, 8));
  planner.AddWaiting(Firm(2, 2), kSecond);
  planner.Decide(kSecond);
  planner.AddWaiting(Firm(3, 8), kSecond);
  planner.AddWaiting(Firm(4, 1), kSecond);
  EXPECT_THAT(Placed(planner.Decide(2 * kSecond)), ElementsAre(4));
}

TEST_F(KeepTest, WhatMayBePreemptedUsesKeptNodesAndMakesWay) {
  Add(Firm(3, 8));
  Decide(2);
  Add(Soft(10, 6));
  EXPECT_THAT(Decide(3), ElementsAre(10));
  planner_.Remove(2, now_us_);
  EXPECT_THAT(Decide(100), IsEmpty());
  EXPECT_THAT(plan_.preemptions, IsEmpty()) << "within its minimum";
  EXPECT_THAT(Decide(304), IsEmpty());
  EXPECT_THAT(Stopped(plan_), ElementsAre(10));
  EXPECT_EQ(plan_.preemptions[0].for_run_uid, 3u);
  WaitingRun again = Soft(10, 6);
  again.queued_us = now_us_;
  planner_.AddWaiting(again, now_us_);
  EXPECT_THAT(Decide(330), ElementsAre(3));
}

// The same where every run may be preempted: each is too young to be told to stop, and the next one
// takes its place. A gang that was promised its start gets it all the same.
TEST(KeepShortTest, APromisedGangIsNotHeldUpForEverByShortRuns) {
  for (const bool keeps : {true, false}) {
    Policy policy = *PolicyNamed("las-r");
    policy.aging_us = 1000 * kSecond;
    if (!keeps) policy.keep_share = 0;
    Planner planner(policy);
    planner.SetNode(MakeNode("a", 64, 8));
    std::map<uint64_t, int64_t> ends;
    uint64_t uid = 100;
    int64_t gang_start = 0;
    for (int64_t second = 1; second < 20'000 && gang_start == 0; second += 20) {
      const int64_t now = second * kSecond;
      for (auto one = ends.begin(); one != ends.end();) {
        if (one->second > now) {
          ++one;
          continue;
        }
        planner.Remove(one->first, now);
        one = ends.erase(one);
      }
      if (second == 401) {
        WaitingRun gang = Soft(1, 8);
        gang.queued_us = now;
        planner.AddWaiting(gang, now);
      }
      WaitingRun next = Soft(++uid, 1);
      next.queued_us = now;
      planner.AddWaiting(next, now);
      const Plan plan = planner.Decide(now);
      EXPECT_THAT(plan.preemptions, IsEmpty()) << "they end before they are old enough";
      for (const uint64_t placed : Placed(plan)) {
        if (placed == 1) gang_start = now;
        ends[placed] = now + 160 * kSecond;
      }
    }
    if (keeps) {
      EXPECT_GT(gang_start, 0);
      EXPECT_LT(gang_start, 4000 * kSecond)
          << "the promise, twice as late as twice the devices are "
             "asked for, and four minimum run times";
    } else {
      EXPECT_EQ(gang_start, 0) << "the scene is one in which it matters";
    }
  }
}

// Short runs come one after the other: none of them is old enough to be told to stop.
TEST_F(KeepTest, OnceOnlyPreemptibleRunsAreInTheWayNoMoreOfThemStart) {
  Add(Firm(3, 8));
  Decide(2);
  Add(Soft(10, 3));
  EXPECT_THAT(Decide(3), ElementsAre(10)) << "a firm run is still in the way";
  planner_.Remove(2, now_us_);
  EXPECT_THAT(Decide(10), IsEmpty());
  Add(Soft(11, 3));
  EXPECT_THAT(Decide(20), IsEmpty());
  WaitingRun urgent = Firm(12, 1);
  urgent.priority = 1;
  Add(urgent);
  EXPECT_THAT(Decide(30), ElementsAre(12)) << "who goes first anyway does";
  planner_.Remove(12, now_us_);
  planner_.Remove(10, now_us_);
  EXPECT_THAT(Decide(40), ElementsAre(3));
}

TEST_F(KeepTest, AGangOverNodesGathersThem) {
  Add(Firm(3, 8, 2));
  Decide(2);
  EXPECT_THAT(KeptNodes(plan_, 3), UnorderedElementsAre("a", "b"));
  Add(Firm(10, 1));
  planner_.Remove(1, now_us_);
  EXPECT_THAT(Decide(3), IsEmpty());
  planner_.Remove(2, now_us_);
  EXPECT_THAT(Decide(4), ElementsAre(3));
}

TEST_F(KeepTest, HigherPriorityUsesKeptNodes) {
  Add(Firm(3, 8));
  Decide(2);
  WaitingRun urgent = Firm(10, 6);
  urgent.priority = 1;
  Add(urgent);
  EXPECT_THAT(Decide(3), ElementsAre(10));
  EXPECT_THAT(KeptNodes(plan_, 3), ElementsAre("b")) << "it is still next";
}

TEST_F(KeepTest, AKeptRunDoesNotOvertakeAHigherPriority) {
  Add(Firm(3, 8));
  Decide(2);
  WaitingRun urgent = Firm(10, 8);
  urgent.priority = 1;
  Add(urgent);
  planner_.Remove(2, now_us_);
  EXPECT_THAT(Decide(3), ElementsAre(10));
}

TEST_F(KeepTest, TheShareBoundsWhatIsKept) {
  for (uint64_t uid = 3; uid < 6; ++uid) Add(Firm(uid, 8));
  Decide(2);
  EXPECT_THAT(plan_.reservations, SizeIs(1)) << "half of two nodes";
}

TEST_F(KeepTest, ANodeThatIsClosedIsNotKept) {
  Add(Firm(3, 8));
  Decide(2);
  planner_.SetSchedulable("b", false);
  Decide(3);
  EXPECT_THAT(KeptNodes(plan_, 3), ElementsAre("a"));
}

TEST_F(KeepTest, OneThatIsHeldOrGoneKeepsNothing) {
  Add(Firm(3, 8));
  Decide(2);
  WaitingRun held = Firm(3, 8);
  held.hold = true;
  Add(held);
  Decide(3);
  EXPECT_THAT(plan_.reservations, IsEmpty());
  Add(Firm(3, 8));
  Decide(4);
  EXPECT_THAT(plan_.reservations, SizeIs(1));
  planner_.Remove(3, now_us_);
  Decide(5);
  EXPECT_THAT(plan_.reservations, IsEmpty());
}

// Snapshots: what was kept stays kept in the next plan, and those who wait are told.
class KeepPlanTest : public testing::Test {
 protected:
  KeepPlanTest() {
    snapshot_.now_us = kHour;
    snapshot_.nodes = {MakeNode("a", 64, 8), MakeNode("b", 64, 8)};
    Hold("a", 1, 6);
    Hold("b", 2, 6);
    snapshot_.waiting = {Firm(3, 8)};
  }
  void Hold(const std::string& node, uint64_t uid, int gpus, int64_t limit_us = 0) {
    RunningRun run;
    run.run_uid = uid;
    run.started_us = kSecond;
    run.time_limit_us = limit_us;
    run.ranks = {MakeNeeds(1000, gpus)};
    RunningRun::Slice& slice = run.slices.emplace_back();
    slice.node_id = node;
    slice.cpu_milli = 1000;
    for (NodeView& view : snapshot_.nodes) {
      if (view.node_id != node) continue;
      for (DeviceView& device : view.devices) {
        if (gpus == 0 || device.milli_free == 0) continue;
        --gpus;
        device.milli_free = 0;
        slice.device_uuids.push_back(device.uuid);
      }
    }
    snapshot_.running.push_back(run);
  }
  Plan Make() {
    Plan plan = MakePlan(snapshot_, *PolicyNamed("las-r"));
    snapshot_.reservations = plan.reservations;
    return plan;
  }
  const Explanation& Why(const Plan& plan, uint64_t uid) {
    for (const Explanation& explanation : plan.explanations) {
      if (explanation.run_uid == uid) return explanation;
    }
    ADD_FAILURE() << uid << " is not explained";
    return plan.explanations.front();
  }
  Snapshot snapshot_;
};

TEST_F(KeepPlanTest, AReservationDoesNotMove) {
  EXPECT_THAT(KeptNodes(Make(), 3), ElementsAre("a"));
  // Now `b` would be the better one; others wait for it already.
  snapshot_.running.pop_back();
  for (DeviceView& device : snapshot_.nodes[1].devices) device.milli_free = 1000;
  Hold("b", 4, 1);
  EXPECT_THAT(KeptNodes(Make(), 3), ElementsAre("a"));
}

TEST_F(KeepPlanTest, ARunThatWaitsAgainHoldsItsDevicesUntilTheyAreReleased) {
  snapshot_.running[0].stopping = true;
  snapshot_.waiting = {Firm(1, 6), Firm(9, 8)};
  snapshot_.waiting[1].priority = 5;
  Reservation claim;
  claim.kind = ReservationKind::kGang;
  claim.run_uid = 9;
  for (const DeviceView& device : snapshot_.nodes[0].devices) {
    claim.holds.resize(1);
    claim.holds[0].node_id = "a";
    claim.holds[0].cpu_milli = 1000;
    claim.holds[0].device_uuids.push_back(device.uuid);
  }
  snapshot_.reservations = {claim};
  const Plan plan = Make();
  EXPECT_THAT(plan.placements, IsEmpty());
  EXPECT_THAT(KeptNodes(plan, 9), ElementsAre("a")) << "the claim stands";
  EXPECT_EQ(Why(plan, 9).reason, "WAITING_FOR_PREEMPTION");
}

TEST_F(KeepPlanTest, BothAreToldWhy) {
  snapshot_.waiting.push_back(Firm(5, 2));
  snapshot_.running.pop_back();
  for (DeviceView& device : snapshot_.nodes[1].devices) device.milli_free = 1000;
  Hold("b", 2, 7);
  const Plan plan = Make();
  EXPECT_EQ(Why(plan, 3).reason, "WAITING_FOR_RESOURCES");
  EXPECT_THAT(Why(plan, 3).message,
              HasSubstr("a is kept for it; 1 run there may not be preempted"));
  EXPECT_EQ(Why(plan, 5).reason, "WAITING_FOR_RESERVATION");
  EXPECT_THAT(Why(plan, 5).message, HasSubstr("held for runs ahead"));
}

// Runs of queues with their own policy are planned apart: the plan of the others does not know
// them.
TEST_F(KeepPlanTest, NodesKeptForARunOfAnotherPlanAreKeptAgainstLowerPriorities) {
  snapshot_.waiting[0].priority = 5;
  snapshot_.running.pop_back();
  for (DeviceView& device : snapshot_.nodes[1].devices) device.milli_free = 1000;
  Hold("b", 2, 8);
  EXPECT_THAT(KeptNodes(Make(), 3), ElementsAre("a"));
  WaitingRun lower = Firm(7, 1);
  lower.priority = 4;
  WaitingRun higher = Firm(8, 1);
  higher.priority = 6;
  snapshot_.waiting = {lower, higher};
  EXPECT_THAT(Placed(Make()), ElementsAre(8));
}

TEST_F(KeepPlanTest, WhatEndsBeforehandStillStartsThere) {
  snapshot_.running.clear();
  for (NodeView& node : snapshot_.nodes) {
    for (DeviceView& device : node.devices) device.milli_free = 1000;
  }
  Hold("a", 1, 6, 2 * kHour);  // until 2 h and 1 s
  Hold("b", 2, 8);
  WaitingRun quick = Firm(5, 2);
  quick.time_limit_us = kHour / 2;
  WaitingRun slow = Firm(6, 2);
  slow.time_limit_us = 2 * kHour;
  snapshot_.waiting.push_back(quick);
  snapshot_.waiting.push_back(slow);
  const Plan plan = Make();
  EXPECT_THAT(KeptNodes(plan, 3), ElementsAre("a"));
  EXPECT_THAT(Placed(plan), ElementsAre(5));
}

}  // namespace
}  // namespace trainyard::placement
