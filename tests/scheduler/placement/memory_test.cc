// What one plan leaves to the next: promises that hold once the run has started, studies that do
// not rise again, runs that sank since. Every plan here is made from a snapshot.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/placement/planner.h"
#include "tests/scheduler/placement/builders.h"

namespace trainyard::placement {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kHour = 3600 * kSecond;

WaitingRun Waits(uint64_t uid, int gpus, int64_t submitted_us) {
  WaitingRun run = MakeRun(uid, 1, MakeNeeds(1000, gpus));
  run.preemptible = true;
  run.submitted_us = run.queued_us = submitted_us;
  return run;
}

// One node of eight devices; who runs holds the first that are free.
class MemoryTest : public testing::Test {
 protected:
  MemoryTest() { snapshot_.nodes = {MakeNode("a", 64, 8)}; }
  void Run(uint64_t uid, int gpus, int64_t submitted_us, int64_t started_us, int64_t attained_us,
           uint64_t owner = 0) {
    RunningRun& run = snapshot_.running.emplace_back();
    run.run_uid = uid;
    run.owner_uid = owner;
    run.preemptible = true;
    run.submitted_us = submitted_us;
    run.started_us = started_us;
    run.last_checkpoint_us = kCheckpointOnStop;
    run.attained_device_us = attained_us;
    run.ranks = {MakeNeeds(1000, gpus)};
    RunningRun::Slice& slice = run.slices.emplace_back();
    slice.node_id = "a";
    for (DeviceView& device : snapshot_.nodes[0].devices) {
      if (gpus == 0 || device.milli_free == 0) continue;
      --gpus;
      device.milli_free = 0;
      slice.device_uuids.push_back(device.uuid);
    }
  }
  void Clear() {
    snapshot_.running.clear();
    snapshot_.waiting.clear();
    snapshot_.nodes = {MakeNode("a", 64, 8)};
  }
  Plan At(int64_t now_us) {
    snapshot_.now_us = now_us;
    Plan plan = MakePlan(snapshot_, *PolicyNamed("las-r"));
    snapshot_.reservations = plan.reservations;
    snapshot_.memory = plan.memory;
    return plan;
  }
  Snapshot snapshot_;
};

TEST_F(MemoryTest, WhoWasPromisedKeepsItsDevices) {
  snapshot_.waiting = {Waits(1, 8, kSecond)};
  const Plan first = At(40 * kHour);
  EXPECT_THAT(Placed(first), ElementsAre(1));
  EXPECT_THAT(first.memory.promised, ElementsAre(1));
  // Three hours later it has used enough to lie below newcomers; many of them wait.
  Clear();
  Run(1, 8, kSecond, 40 * kHour, 24 * kHour);
  for (uint64_t uid = 2; uid < 9; ++uid) snapshot_.waiting.push_back(Waits(uid, 8, 42 * kHour));
  const PlanMemory memory = snapshot_.memory;
  EXPECT_THAT(Stopped(At(43 * kHour)), IsEmpty());
  EXPECT_THAT(snapshot_.memory.promised, ElementsAre(1)) << "until it ends";
  snapshot_.memory = memory;
  snapshot_.memory.promised.clear();
  EXPECT_THAT(Stopped(At(43 * kHour)), ElementsAre(1)) << "the promise is what protects it";
}

TEST_F(MemoryTest, WithoutAMemoryWhoRunsWasPromisedByHowLongItWaited) {
  Run(1, 8, kSecond, 40 * kHour, 24 * kHour);
  snapshot_.waiting = {Waits(2, 8, 42 * kHour)};
  EXPECT_THAT(Stopped(At(43 * kHour)), IsEmpty());
  Clear();
  snapshot_.memory = {};
  Run(1, 8, 39 * kHour, 40 * kHour, 24 * kHour);
  snapshot_.waiting = {Waits(2, 8, 42 * kHour)};
  EXPECT_THAT(Stopped(At(43 * kHour)), ElementsAre(1)) << "it waited an hour";
}

TEST_F(MemoryTest, WhatIsNotKnownIsHandedOn) {
  snapshot_.memory.made_us = kSecond;
  snapshot_.memory.promised = {77};
  snapshot_.memory.peaks = {{88, kHour}};
  const Plan plan = At(kHour);
  EXPECT_THAT(plan.memory.promised, ElementsAre(77));
  ASSERT_EQ(plan.memory.peaks.size(), 1u);
  EXPECT_EQ(plan.memory.peaks[0].owner_uid, 88u);
  EXPECT_EQ(plan.memory.made_us, kHour);
}

// 47,210 device-seconds is where a run of eight devices sinks.
TEST_F(MemoryTest, WhoSankSinceMakesWayForItsPeersOnce) {
  const auto scene = [this](int64_t last_plan_us) {
    Clear();
    Run(1, 8, kSecond, kHour, 8 * (5902 * kSecond));
    WaitingRun peer = Waits(2, 8, 2 * kSecond);
    peer.attained_device_us = 8 * (6000 * kSecond);
    snapshot_.waiting = {peer};
    snapshot_.memory = {};
    snapshot_.memory.made_us = last_plan_us;
    return Stopped(At(kHour + 5902 * kSecond));
  };
  EXPECT_THAT(scene(kHour + 5800 * kSecond), ElementsAre(1));
  EXPECT_THAT(scene(kHour + 5902 * kSecond), IsEmpty()) << "nothing happened since";
  EXPECT_THAT(scene(0), IsEmpty()) << "nobody knows when it sank";
}

TEST_F(MemoryTest, AStudyIsChargedOnceForWhatItsTrialsUsed) {
  // 20,000 device-seconds are level 0 for one device; twice as many are not.
  Run(1, 8, kSecond, kHour, 8 * kHour);
  WaitingRun trial = Waits(2, 1, kSecond);
  trial.owner_uid = 9;
  trial.attained_device_us = 20'000 * kSecond;
  snapshot_.waiting = {trial, Waits(3, 1, 2 * kSecond)};
  snapshot_.owners = {{9, 20'000 * kSecond}};
  const Plan plan = At(2 * kHour);
  ASSERT_EQ(plan.explanations.size(), 2u);
  EXPECT_EQ(plan.explanations[0].run_uid, 2u) << "it was submitted first";
}

TEST_F(MemoryTest, AStudyDoesNotRiseWhenItHoldsLess) {
  // A trial that runs stands for what it will use in ten minutes: fifty of them are 30,000 more.
  WaitingRun trial = Waits(2, 1, kSecond);
  trial.owner_uid = 9;
  Run(1, 8, kSecond, kHour, 8 * kHour);
  snapshot_.waiting = {trial, Waits(3, 1, 2 * kSecond)};
  snapshot_.owners = {{9, 20'000 * kSecond}};
  snapshot_.memory.made_us = kHour;
  snapshot_.memory.peaks = {{9, 50'000 * kSecond}};
  const Plan plan = At(2 * kHour);
  ASSERT_EQ(plan.explanations.size(), 2u);
  EXPECT_EQ(plan.explanations[0].run_uid, 3u) << "the study sank";
  ASSERT_EQ(plan.memory.peaks.size(), 1u);
  EXPECT_EQ(plan.memory.peaks[0].attained_device_us, 50'000 * kSecond);
}

// It waits again while its last attempt still holds devices: one run, charged once.
TEST_F(MemoryTest, ARunThatWaitsAgainIsNoStudy) {
  Run(1, 8, kSecond, kHour, 20'000 * kSecond, 9);
  snapshot_.running[0].stopping = true;
  WaitingRun again = Waits(1, 1, kSecond);
  again.owner_uid = 9;
  again.attained_device_us = 20'000 * kSecond;
  snapshot_.waiting = {again, Waits(3, 1, 2 * kSecond)};
  const Plan plan = At(2 * kHour);
  EXPECT_THAT(plan.memory.peaks, IsEmpty());
}

}  // namespace
}  // namespace trainyard::placement
