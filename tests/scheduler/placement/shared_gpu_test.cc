// Who makes way where GPUs are shared: what one holder gives back of a GPU is no place by itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "scheduler/placement/planner.h"
#include "tests/scheduler/placement/builders.h"

namespace trainyard::placement {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kHour = 3600 * kSecond;

WaitingRun SharedRun(uint64_t uid, int milli) {
  WaitingRun run = MakeRun(uid, 1, MakeNeeds(1000, 0, milli));
  run.preemptible = true;
  return run;
}

WaitingRun WholeRun(uint64_t uid) {
  WaitingRun run = MakeRun(uid, 1, MakeNeeds(1000, 1));
  run.preemptible = true;
  return run;
}

// Two halves give a whole GPU only together; with a third on another GPU that one is left alone.
TEST(SharedGpuTest, RunsThatShareAGpuMakeWayTogether) {
  Planner planner(*PolicyNamed("las-r"));
  planner.SetNode(MakeNode("a", 64, 2));
  planner.AddWaiting(SharedRun(1, 500), kSecond);
  planner.AddWaiting(SharedRun(2, 500), kSecond);
  planner.AddWaiting(SharedRun(3, 600), kSecond);
  WaitingRun firm = SharedRun(4, 400);  // beside 3: its GPU cannot become free
  firm.preemptible = false;
  planner.AddWaiting(firm, kSecond);
  EXPECT_THAT(planner.Decide(kSecond).placements, SizeIs(4));
  planner.AddWaiting(WholeRun(5), 100 * kHour);
  EXPECT_THAT(Stopped(planner.Decide(100 * kHour)), UnorderedElementsAre(1, 2));
  planner.Remove(1, 100 * kHour);
  EXPECT_THAT(Placed(planner.Decide(100 * kHour)), IsEmpty()) << "one half is still there";
  planner.Remove(2, 100 * kHour);
  EXPECT_THAT(Placed(planner.Decide(100 * kHour)), ElementsAre(5));
}

// Of three that share a GPU as few stop as a larger share needs, the dearest stays.
TEST(SharedGpuTest, OnlyAsManyAsAShareNeedsMakeWay) {
  Planner planner(*PolicyNamed("las-r"));
  planner.SetNode(MakeNode("a", 64, 1));
  for (const auto& [uid, milli] : {std::pair(1, 300), std::pair(2, 300), std::pair(3, 400)}) {
    planner.AddWaiting(SharedRun(static_cast<uint64_t>(uid), milli), kSecond);
  }
  EXPECT_THAT(planner.Decide(kSecond).placements, SizeIs(3));
  planner.Checkpointed(2, 100 * kHour);
  planner.Checkpointed(3, 100 * kHour);
  planner.AddWaiting(SharedRun(4, 700), 100 * kHour);
  EXPECT_THAT(Stopped(planner.Decide(100 * kHour)), UnorderedElementsAre(2, 3));
}

TEST(SharedGpuTest, AGuaranteeTakesASharedGpuBackInOnePass) {
  Planner planner(*PolicyNamed("fifo"));
  std::vector<QuotaNode> quotas(2);
  quotas[0].team = "a";
  quotas[0].by_model[""].guarantee_milli = 1000;
  quotas[1].team = "b";
  planner.SetQuotas(quotas);
  planner.SetNode(MakeNode("a", 64, 1));
  for (uint64_t uid = 1; uid <= 4; ++uid) {
    WaitingRun run = SharedRun(uid, 250);
    run.team = "b";
    run.preemptible = false;
    planner.AddWaiting(run, kSecond);
  }
  EXPECT_THAT(planner.Decide(kSecond).placements, SizeIs(4));
  WaitingRun wanted = WholeRun(5);
  wanted.team = "a";
  planner.AddWaiting(wanted, 2 * kSecond);
  EXPECT_THAT(planner.Decide(2 * kSecond).preemptions, SizeIs(4));
}

}  // namespace
}  // namespace trainyard::placement
