// The planner on scenes worked out by hand: levels and victims, room that has to be vacated first,
// promises, studies, quotas, windows, labels, slices of devices, racks.
#include "scheduler/placement/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/placement/history.h"
#include "scheduler/placement/what_if.h"
#include "tests/scheduler/placement/builders.h"

namespace trainyard::placement {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kHour = 3600 * kSecond;

NodeView GpuNode(const std::string& id, int gpus = 8) { return MakeNode(id, 64, gpus); }

WaitingRun GpuRun(uint64_t uid, int gpus, int ranks = 1) {
  WaitingRun run = MakeRun(uid, ranks, MakeNeeds(1000, gpus));
  run.preemptible = true;
  run.queued_us = kSecond;
  return run;
}

TEST(PlannerTest, NewcomerGetsTheDevicesOfARunThatHadMuchOnceTheyHaveLeft) {
  Planner planner(*PolicyNamed("las-r"));
  planner.SetNode(GpuNode("a"));
  planner.AddWaiting(GpuRun(1, 8), kSecond);
  EXPECT_THAT(Placed(planner.Decide(kSecond)), ElementsAre(1));
  planner.AddWaiting(GpuRun(2, 8), 10 * kHour);
  const Plan plan = planner.Decide(10 * kHour);
  EXPECT_THAT(Stopped(plan), ElementsAre(1));
  EXPECT_EQ(plan.preemptions[0].for_run_uid, 2u);
  EXPECT_THAT(plan.placements, IsEmpty()) << "the devices have not left yet";
  ASSERT_THAT(planner.Claims(), SizeIs(1));
  EXPECT_EQ(planner.Claims()[0].run_uid, 2u);
  // A third one comes between: what was freed for the second is not for it.
  planner.AddWaiting(GpuRun(3, 1), 10 * kHour + 1);
  EXPECT_THAT(planner.Decide(10 * kHour + 1).placements, IsEmpty());
  planner.AddWaiting(GpuRun(1, 8), 10 * kHour + 30 * kSecond);  // it waits again
  EXPECT_THAT(Placed(planner.Decide(10 * kHour + 30 * kSecond)), ElementsAre(2));
}

TEST(PlannerTest, PeersAndRunsWithinTheirMinimumAreNotPreempted) {
  Planner planner(*PolicyNamed("las-r"));
  planner.SetNode(GpuNode("a"));
  planner.AddWaiting(GpuRun(1, 8), kSecond);
  planner.Decide(kSecond);
  planner.AddWaiting(GpuRun(2, 8), 60 * kSecond);
  EXPECT_THAT(planner.Decide(60 * kSecond).preemptions, IsEmpty()) << "same level";
}

TEST(PlannerTest, RunsThatMayNotBePreemptedAreLeftAlone) {
  Planner planner(*PolicyNamed("las-r"));
  planner.SetNode(GpuNode("a"));
  WaitingRun firm = GpuRun(1, 8);
  firm.preemptible = false;
  planner.AddWaiting(firm, kSecond);
  planner.Decide(kSecond);
  planner.AddWaiting(GpuRun(2, 8), 100 * kHour);
  const Plan plan = planner.Decide(1000 * kHour);
  EXPECT_THAT(plan.preemptions, IsEmpty());
}

// Two runs of equal level could go; the one that wrote a checkpoint just now goes.
TEST(PlannerTest, VictimIsTheRunThatLosesLeast) {
  Planner planner(*PolicyNamed("las-r"));
  planner.SetNode(GpuNode("a"));
  planner.SetNode(GpuNode("b"));
  planner.AddWaiting(GpuRun(1, 8), kSecond);
  planner.AddWaiting(GpuRun(2, 8), kSecond);
  EXPECT_THAT(Placed(planner.Decide(kSecond)), ElementsAre(1, 2));
  planner.Checkpointed(1, 9 * kHour);
  planner.Checkpointed(2, 10 * kHour - kSecond);
  planner.AddWaiting(GpuRun(3, 4), 10 * kHour);
  const Plan plan = planner.Decide(10 * kHour);
  EXPECT_THAT(Stopped(plan), ElementsAre(2));
  EXPECT_EQ(plan.preemptions[0].lost_device_us, 8 * (60 * kSecond + kSecond));
}

TEST(PlannerTest, HigherPriorityGoesFirstAndMayPreempt) {
  Planner planner(*PolicyNamed("las-r"));
  planner.SetNode(GpuNode("a"));
  planner.AddWaiting(GpuRun(1, 8), kSecond);
  planner.Decide(kSecond);
  WaitingRun urgent = GpuRun(2, 8);
  urgent.priority = 10;
  planner.AddWaiting(urgent, 400 * kSecond);
  EXPECT_THAT(Stopped(planner.Decide(400 * kSecond)), ElementsAre(1));
}

// The promise is kept against its peers.
TEST(PlannerTest, PromisedRunsYieldToAHigherPriorityAlone) {
  Planner planner(*PolicyNamed("las-r"));
  planner.SetNode(GpuNode("a"));
  planner.AddWaiting(GpuRun(1, 8), 1000 * kHour);  // since the first second
  EXPECT_THAT(Placed(planner.Decide(1000 * kHour)), ElementsAre(1));
  planner.AddWaiting(GpuRun(2, 8), 1001 * kHour);
  WaitingRun newcomer = GpuRun(3, 8);
  newcomer.queued_us = 1001 * kHour;
  planner.AddWaiting(newcomer, 1001 * kHour);
  EXPECT_THAT(planner.Decide(1001 * kHour).preemptions, IsEmpty());
  WaitingRun urgent = GpuRun(4, 8);
  urgent.priority = 1;
  planner.AddWaiting(urgent, 1001 * kHour);
  EXPECT_THAT(Stopped(planner.Decide(1001 * kHour)), ElementsAre(1));
}

// A run that waited out its promise goes before newcomers, and is not preempted for them.
TEST(PlannerTest, PromiseComesTrue) {
  Policy policy = *PolicyNamed("las-r");
  policy.front_share = 1;
  Planner planner(policy);
  planner.SetNode(GpuNode("a"));
  WaitingRun old = GpuRun(1, 8);
  old.attained_device_us = 8 * 1000 * kHour;  // the lowest level
  old.submitted_us = old.queued_us = 1;
  planner.AddWaiting(GpuRun(2, 8), kSecond);
  planner.Decide(kSecond);
  planner.AddWaiting(old, 2 * kSecond);
  EXPECT_THAT(Stopped(planner.Decide(2 * kSecond)), IsEmpty());
  ASSERT_NE(planner.WakeUs(), INT64_MAX);
  const int64_t due = 2000 * kHour;
  EXPECT_THAT(Stopped(planner.Decide(due)), ElementsAre(2));
  planner.AddWaiting(GpuRun(2, 8), due + 1);
  EXPECT_THAT(Placed(planner.Decide(due + 1)), ElementsAre(1));
  for (uint64_t uid = 10; uid < 15; ++uid) {
    planner.AddWaiting(GpuRun(uid, 8), due + kHour * static_cast<int64_t>(uid));
    EXPECT_THAT(planner.Decide(due + kHour * static_cast<int64_t>(uid)).preemptions, IsEmpty());
  }
}

TEST(PlannerTest, TrialsOfAStudySinkTogether) {
  Planner planner(*PolicyNamed("las-r"));
  planner.SetNode(GpuNode("a"));
  for (uint64_t uid = 1; uid <= 50; ++uid) {
    WaitingRun trial = GpuRun(uid, 1);
    trial.owner_uid = 1000;
    planner.AddWaiting(trial, kSecond);
  }
  EXPECT_THAT(planner.Decide(kSecond).placements, SizeIs(8));
  planner.AddWaiting(GpuRun(100, 1), 2 * kHour);
  planner.Remove(1, 2 * kHour);
  const Plan plan = planner.Decide(2 * kHour);
  ASSERT_THAT(plan.placements, SizeIs(1)) << "one device became free";
  EXPECT_EQ(plan.placements[0].run_uid, 100u) << "the study had 16 device-hours already";
}

TEST(PlannerTest, LimitHoldsBackAndIsNamed) {
  Snapshot snapshot;
  snapshot.now_us = kSecond;
  snapshot.nodes = {GpuNode("a")};
  QuotaNode quota;
  quota.team = "vision";
  quota.by_model[""].limit_milli = 4000;
  snapshot.quotas = {quota};
  for (uint64_t uid : {1, 2}) {
    snapshot.waiting.push_back(GpuRun(uid, 3));
    snapshot.waiting.back().team = "vision";
  }
  const Plan plan = MakePlan(snapshot, *PolicyNamed("las-r"));
  EXPECT_THAT(Placed(plan), ElementsAre(1));
  ASSERT_THAT(plan.explanations, SizeIs(1));
  EXPECT_EQ(plan.explanations[0].reason, "QUOTA_EXCEEDED");
  EXPECT_EQ(plan.explanations[0].message,
            "team vision uses 3 of its limit of 4 GPUs; this run needs 3 more");
  EXPECT_THAT(WhatStarts(snapshot, 2), testing::Contains(HasSubstr("limit of 7")));
}

// Team b borrowed everything; a's guarantee takes back what it needs in one pass, from b alone.
// Of the teams a and b.
std::vector<QuotaNode> Guarantees(int64_t a_milli, int64_t b_milli) {
  std::vector<QuotaNode> quotas(2);
  quotas[0].team = "a";
  quotas[0].by_model[""].guarantee_milli = a_milli;
  quotas[1].team = "b";
  quotas[1].by_model[""].guarantee_milli = b_milli;
  return quotas;
}

TEST(PlannerTest, GuaranteeIsTakenBackFromWhoBorrows) {
  Planner planner(*PolicyNamed("fifo"));
  planner.SetQuotas(Guarantees(8000, 8000));
  planner.SetNode(GpuNode("n1"));
  planner.SetNode(GpuNode("n2"));
  for (uint64_t uid = 1; uid <= 16; ++uid) {
    WaitingRun run = GpuRun(uid, 1);
    run.team = "b";
    run.preemptible = false;
    planner.AddWaiting(run, kSecond);
  }
  EXPECT_THAT(planner.Decide(kSecond).placements, SizeIs(16));
  WaitingRun wanted = GpuRun(100, 8);
  wanted.team = "a";
  planner.AddWaiting(wanted, 2 * kSecond);
  EXPECT_THAT(planner.Decide(2 * kSecond).preemptions, SizeIs(8));
  WaitingRun beyond = GpuRun(101, 1);
  beyond.team = "a";
  planner.AddWaiting(beyond, 3 * kSecond);
  EXPECT_THAT(planner.Decide(3 * kSecond).preemptions, IsEmpty()) << "a is at its guarantee";
}

// Of many nodes a few are priced: those where somebody borrows.
TEST(PlannerTest, GuaranteeFindsTheOneBorrowerOfALargeCluster) {
  Planner planner(*PolicyNamed("las-r"));
  planner.SetQuotas(Guarantees(8000, 299 * 8000));
  for (int i = 0; i < 300; ++i) planner.SetNode(GpuNode(absl::StrCat("n", i)));
  for (uint64_t uid = 1; uid <= 300; ++uid) {
    WaitingRun run = GpuRun(uid, 8);
    run.team = uid == 7 ? "c" : "b";  // c has nothing of its own
    planner.AddWaiting(run, kSecond);
  }
  EXPECT_THAT(planner.Decide(kSecond).placements, SizeIs(300));
  for (uint64_t uid = 1001; uid <= 1005; ++uid) {
    WaitingRun wanted = GpuRun(uid, 8);
    wanted.team = "a";
    planner.AddWaiting(wanted, 2 * kSecond);
    EXPECT_THAT(Stopped(planner.Decide(2 * kSecond)), uid == 1001 ? SizeIs(1) : SizeIs(0)) << uid;
  }
}

TEST(PlannerTest, RunsWithoutDevicesMakeWayForOneThatHasThem) {
  Planner planner(*PolicyNamed("las-r"));
  planner.SetNode(GpuNode("a"));
  WaitingRun cores = MakeRun(1, 1, MakeNeeds(64000));
  cores.preemptible = true;
  planner.AddWaiting(cores, kSecond);
  EXPECT_THAT(Placed(planner.Decide(kSecond)), ElementsAre(1));
  planner.AddWaiting(GpuRun(2, 1), 100 * kHour);
  EXPECT_THAT(Stopped(planner.Decide(100 * kHour)), ElementsAre(1)) << "all GPUs are idle";
}

TEST(PlannerTest, LowPrioritiesYieldToTheUsualOne) {
  Planner planner(*PolicyNamed("las-r"));
  planner.SetNode(GpuNode("a"));
  WaitingRun night = GpuRun(1, 8);
  night.priority = -100;
  planner.AddWaiting(night, kSecond);
  EXPECT_THAT(Placed(planner.Decide(kSecond)), ElementsAre(1));
  WaitingRun evening = GpuRun(3, 8);
  evening.priority = -100;
  planner.AddWaiting(evening, 399 * kSecond);
  EXPECT_THAT(planner.Decide(399 * kSecond).preemptions, IsEmpty()) << "a peer";
  planner.AddWaiting(GpuRun(2, 8), 400 * kSecond);
  EXPECT_THAT(Stopped(planner.Decide(400 * kSecond)), ElementsAre(1));
}

TEST(PlannerTest, ElasticPeersOfOnePriorityDoNotEvictEachOther) {
  Planner planner(*PolicyNamed("las-r"));
  planner.SetNode(GpuNode("a"));
  WaitingRun first = GpuRun(1, 1, 8);
  first.ranks_min = 6;
  first.ranks_max = 8;
  first.priority = 1;
  planner.AddWaiting(first, kSecond);
  planner.Decide(kSecond);
  WaitingRun second = GpuRun(2, 1, 8);
  second.ranks_min = 6;
  second.ranks_max = 8;
  second.priority = 1;
  planner.AddWaiting(second, 400 * kSecond);
  EXPECT_THAT(planner.Decide(400 * kSecond).preemptions, IsEmpty());
}

TEST(PlannerTest, MaintenanceLetsInWhoEndsBefore) {
  Snapshot snapshot;
  snapshot.now_us = kHour;
  snapshot.nodes = {GpuNode("a")};
  Reservation window;
  window.start_us = 2 * kHour;
  window.end_us = 3 * kHour;
  window.holds.push_back({"a", {}, 0, 0});
  snapshot.reservations = {window};
  snapshot.waiting = {GpuRun(1, 1), GpuRun(2, 1)};
  for (WaitingRun& run : snapshot.waiting) run.preemptible = false;
  snapshot.waiting[1].time_limit_us = kHour / 2;
  const Plan plan = MakePlan(snapshot, *PolicyNamed("las-r"));
  EXPECT_THAT(Placed(plan), ElementsAre(2));
  ASSERT_THAT(plan.explanations, SizeIs(1));
  EXPECT_EQ(plan.explanations[0].reason, "WAITING_FOR_MAINTENANCE");
  EXPECT_THAT(WhatStarts(snapshot, 1),
              testing::Contains("with a time limit of 1 h it would start now"));
}

TEST(PlannerTest, CalendarReservationIsForThoseThatNameIt) {
  Snapshot snapshot;
  snapshot.now_us = kHour;
  snapshot.nodes = {GpuNode("a")};
  Reservation calendar;
  calendar.id = "course";
  calendar.kind = ReservationKind::kCalendar;
  calendar.start_us = 1;
  calendar.end_us = 9 * kHour;
  calendar.holds.push_back({"a", {}, 0, 0});
  calendar.reason = "course of the autumn";
  snapshot.reservations = {calendar};
  snapshot.waiting = {GpuRun(1, 1), GpuRun(2, 1)};
  snapshot.waiting[1].reservation_id = "course";
  const Plan plan = MakePlan(snapshot, *PolicyNamed("las-r"));
  EXPECT_THAT(Placed(plan), ElementsAre(2));
  EXPECT_EQ(plan.explanations[0].reason, "WAITING_FOR_RESERVATION");
}

TEST(PlannerTest, LabelsAndTaintsFilterNodes) {
  Snapshot snapshot;
  snapshot.nodes = {GpuNode("a"), GpuNode("b"), GpuNode("c")};
  snapshot.nodes[0].taints = {{"team", "vision"}};
  snapshot.nodes[2].labels = {{"disk", "fast"}};
  snapshot.waiting = {GpuRun(1, 1), GpuRun(2, 1), GpuRun(3, 8)};
  snapshot.waiting[1].node_labels = {{"disk", "fast"}};
  snapshot.waiting[2].tolerations = {{"team", ""}};
  const Plan plan = MakePlan(snapshot, *PolicyNamed("las-r"));
  ASSERT_THAT(Placed(plan), ElementsAre(1, 2, 3));
  EXPECT_EQ(plan.placements[0].members[0].node_id, "b");
  EXPECT_EQ(plan.placements[1].members[0].node_id, "c");
  EXPECT_EQ(plan.placements[2].members[0].node_id, "a");
}

TEST(PlannerTest, SlicesAreGivenOutAndTheirDeviceIsNot) {
  NodeView node = MakeNode("a", 16, 2);
  node.devices[0].parent_uuid = "whole";
  node.devices[0].profile = "3g.40gb";
  node.devices[1].uuid = "whole";
  Snapshot snapshot;
  snapshot.nodes = {node};
  snapshot.waiting = {GpuRun(1, 1), GpuRun(2, 1)};
  snapshot.waiting[1].ranks[0].gpu_profile = "3g.40gb";
  const Plan plan = MakePlan(snapshot, *PolicyNamed("las-r"));
  EXPECT_THAT(Placed(plan), ElementsAre(2));
  EXPECT_EQ(plan.explanations[0].reason, "NO_CAPACITY");
  EXPECT_EQ(plan.explanations[0].estimated_start_us, 0) << "no wait will start it";
}

// Without any run that ended nothing is foretold; with some, their times are.
TEST(PlannerTest, StartsAreForetoldFromRunsThatEnded) {
  Snapshot snapshot;
  snapshot.now_us = kHour;
  NodeView node = GpuNode("a");
  for (DeviceView& device : node.devices) device.milli_free = 0;
  snapshot.nodes = {node};
  RunningRun ahead;
  ahead.run_uid = 1;
  ahead.principal = "ann";
  ahead.name = "resnet";
  ahead.started_us = kHour - 600 * kSecond;
  ahead.submitted_us = ahead.started_us;
  ahead.attained_device_us = 8 * 600 * kSecond;
  ahead.ranks = GpuRun(1, 8).ranks;
  RunningRun::Slice slice;
  slice.node_id = "a";
  for (const DeviceView& device : node.devices) slice.device_uuids.push_back(device.uuid);
  ahead.slices = {slice};
  snapshot.running = {ahead};
  snapshot.waiting = {GpuRun(2, 8), GpuRun(3, 8)};
  Plan plan = MakePlan(snapshot, *PolicyNamed("fifo"));
  ASSERT_THAT(plan.explanations, SizeIs(2));
  for (const Explanation& explanation : plan.explanations) {
    EXPECT_FALSE(explanation.message.empty());
    EXPECT_EQ(explanation.estimated_start_us, 0) << "nobody can know";
    EXPECT_EQ(explanation.estimate_latest_us, 0);
    EXPECT_EQ(explanation.estimate_band_us, 0);
  }
  auto history = std::make_shared<RunTimeHistory>();
  history->ObserveRun("ann", "resnet", 8, 3600 * kSecond);
  history->ObserveRun("bob", "other", 8, 60 * kSecond);
  snapshot.history = history;
  plan = MakePlan(snapshot, *PolicyNamed("fifo"));
  ASSERT_THAT(plan.explanations, SizeIs(2));
  const Explanation& first = plan.explanations[0];
  // An hour less ten minutes, as exact as bins of a quarter of an octave are.
  EXPECT_NEAR(static_cast<double>(first.estimated_start_us - kHour), 3000.0 * kSecond,
              700.0 * kSecond);
  EXPECT_LE(first.estimate_earliest_us, first.estimated_start_us);
  EXPECT_GE(first.estimate_latest_us, first.estimated_start_us);
  EXPECT_GT(plan.explanations[1].estimated_start_us, first.estimated_start_us);
  // Nothing like it has ended after more than that: what it still takes is unknown again.
  snapshot.running[0].started_us = kHour - 3599 * kSecond;
  snapshot.running[0].attained_device_us = int64_t{8} * 9000 * kSecond;
  plan = MakePlan(snapshot, *PolicyNamed("fifo"));
  EXPECT_EQ(plan.explanations[0].estimated_start_us, 0);
}

TEST(PlannerTest, GangKeepsToOneRackWhenItMust) {
  Snapshot snapshot;
  for (int i = 0; i < 4; ++i) {
    snapshot.nodes.push_back(GpuNode(absl::StrCat("n", i)));
    snapshot.nodes.back().rack = i % 2 == 0 ? "even" : "odd";
  }
  snapshot.waiting = {GpuRun(1, 8, 2), GpuRun(2, 8, 3)};
  snapshot.waiting[0].topology = {Domain::kRack, 1, true};
  snapshot.waiting[1].topology = {Domain::kRack, 1, true};
  const Plan plan = MakePlan(snapshot, *PolicyNamed("las-r"));
  ASSERT_THAT(Placed(plan), ElementsAre(1));
  const auto& members = plan.placements[0].members;
  ASSERT_THAT(members, SizeIs(2));
  EXPECT_EQ((members[0].node_id.back() - members[1].node_id.back()) % 2, 0);
  ASSERT_THAT(plan.explanations, SizeIs(1));
  EXPECT_EQ(plan.explanations[0].reason, "NO_CAPACITY");
}

TEST(PlannerTest, ElasticRunShrinksForOthersAndGrowsIntoIdleDevices) {
  Planner planner(*PolicyNamed("las-r"));
  planner.SetNode(GpuNode("a"));
  WaitingRun elastic = GpuRun(1, 1, 4);
  elastic.ranks_min = 2;
  elastic.ranks_max = 8;
  planner.AddWaiting(elastic, kSecond);
  Plan plan = planner.Decide(kSecond);
  ASSERT_THAT(plan.placements, SizeIs(1));
  EXPECT_THAT(plan.placements[0].members[0].ranks, SizeIs(8)) << "all it can use";
  // A peer of the same level needs three devices.
  planner.AddWaiting(GpuRun(2, 3), kHour);
  plan = planner.Decide(kHour);
  EXPECT_THAT(plan.preemptions, IsEmpty());
  ASSERT_THAT(plan.resizes, SizeIs(1));
  EXPECT_EQ(plan.resizes[0].ranks_from, 8);
  EXPECT_EQ(plan.resizes[0].ranks_to, 5);
  EXPECT_EQ(plan.resizes[0].for_run_uid, 2u);
  planner.AddWaiting(elastic, kHour + kSecond);  // it stopped
  plan = planner.Decide(kHour + kSecond);
  ASSERT_THAT(plan.placements, SizeIs(2));
  for (const Placement& placed : plan.placements) {
    EXPECT_THAT(placed.members[0].ranks, SizeIs(placed.run_uid == 1 ? 5 : 1));
  }
  const int64_t later = kHour + 400 * kSecond;
  // Below its minimum it does not go for a peer.
  planner.AddWaiting(GpuRun(3, 4), later);
  EXPECT_THAT(planner.Decide(later).preemptions, IsEmpty());
  planner.Remove(3, later);
  planner.Remove(2, later);
  plan = planner.Decide(later);
  ASSERT_THAT(plan.resizes, SizeIs(1)) << "nobody waits: it grows";
  EXPECT_EQ(plan.resizes[0].ranks_to, 8);
}

TEST(PlannerTest, WindowStopsWhoMayBePreempted) {
  Planner planner(*PolicyNamed("fifo"));
  planner.SetNode(GpuNode("a"));
  Reservation window;
  window.start_us = kHour;
  window.end_us = 2 * kHour;
  window.holds.push_back({"a", {}, 0, 0});
  planner.SetReservations({window});
  planner.AddWaiting(GpuRun(1, 8), kSecond);
  EXPECT_THAT(Placed(planner.Decide(kSecond)), ElementsAre(1));
  EXPECT_LE(planner.WakeUs(), kHour);
  EXPECT_THAT(Stopped(planner.Decide(kHour)), ElementsAre(1));
  planner.AddWaiting(GpuRun(1, 8), kHour + kSecond);
  EXPECT_THAT(planner.Decide(kHour + kSecond).placements, IsEmpty());
  EXPECT_THAT(Placed(planner.Decide(2 * kHour)), ElementsAre(1));
}

TEST(PlannerTest, ClaimSurvivesTheSnapshot) {
  Snapshot snapshot;
  snapshot.now_us = 10 * kHour;
  NodeView node = GpuNode("a");
  for (DeviceView& device : node.devices) device.milli_free = 0;
  snapshot.nodes = {node};
  RunningRun leaving;
  leaving.run_uid = 1;
  leaving.started_us = 1;
  leaving.preemptible = leaving.stopping = true;
  leaving.slices.push_back({"a", 1000, kGiB / 4, {}, 1000});
  for (const DeviceView& device : node.devices) {
    leaving.slices[0].device_uuids.push_back(device.uuid);
  }
  snapshot.running = {leaving};
  snapshot.waiting = {GpuRun(2, 8), GpuRun(3, 8)};
  Reservation claim;
  claim.kind = ReservationKind::kGang;
  claim.run_uid = 3;
  claim.holds.push_back({"a", leaving.slices[0].device_uuids, 1000, kGiB / 4});
  snapshot.reservations = {claim};
  const Plan plan = MakePlan(snapshot, *PolicyNamed("las-r"));
  EXPECT_THAT(plan.placements, IsEmpty());
  ASSERT_THAT(plan.reservations, SizeIs(1));
  EXPECT_EQ(plan.reservations[0].run_uid, 3u);
  ASSERT_THAT(plan.explanations, SizeIs(2));
  EXPECT_EQ(plan.explanations[0].run_uid, 3u);
  EXPECT_EQ(plan.explanations[0].reason, "WAITING_FOR_PREEMPTION");
  EXPECT_EQ(plan.explanations[1].reason, "WAITING_FOR_RESERVATION");
}

}  // namespace
}  // namespace trainyard::placement
