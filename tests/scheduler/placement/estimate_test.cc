// Estimates count what a run can use: what ends elsewhere does not start it.
#include <gtest/gtest.h>

#include "tests/scheduler/placement/builders.h"

namespace trainyard::placement {
namespace {

constexpr int64_t kHour = int64_t{3600} * 1'000'000;

// A run that holds the whole node and ends in so many hours, by its time limit.
RunningRun Holder(uint64_t uid, NodeView* node, int64_t now_us, int hours) {
  RunningRun run;
  run.run_uid = uid;
  run.started_us = now_us - kHour;
  run.guess.low_us = run.guess.middle_us = run.guess.high_us = (hours + 1) * kHour;
  run.attained_device_us = kHour * std::ssize(node->devices);
  run.ranks = {MakeNeeds(1000, static_cast<int>(node->devices.size()))};
  RunningRun::Slice& slice = run.slices.emplace_back();
  slice.node_id = node->node_id;
  for (DeviceView& device : node->devices) {
    device.milli_free = 0;
    slice.device_uuids.push_back(device.uuid);
  }
  return run;
}

Snapshot TwoModels() {
  Snapshot snapshot;
  snapshot.now_us = 100 * kHour;
  snapshot.nodes = {MakeNode("n1", 64, 8, "A100"), MakeNode("n2", 64, 8, "H100")};
  snapshot.running = {Holder(1, &snapshot.nodes[0], snapshot.now_us, 1),
                      Holder(2, &snapshot.nodes[1], snapshot.now_us, 10)};
  return snapshot;
}

int64_t HoursUntilStart(const Snapshot& snapshot, size_t which) {
  const Plan plan = MakePlan(snapshot, *PolicyNamed("las-r"));
  for (const Explanation& told : plan.explanations) {
    if (told.run_uid != snapshot.waiting[which].run_uid) continue;
    return told.estimated_start_us == 0 ? -1 : (told.estimated_start_us - snapshot.now_us) / kHour;
  }
  return -2;
}

TEST(EstimateTest, EachModelIsCountedByItself) {
  Snapshot snapshot = TwoModels();
  snapshot.waiting = {MakeRun(3, 1, MakeNeeds(1000, 8)), MakeRun(4, 1, MakeNeeds(1000, 8))};
  snapshot.waiting[0].ranks[0].gpu_models = {"H100"};
  snapshot.waiting[1].ranks[0].gpu_models = {"A100"};
  EXPECT_EQ(HoursUntilStart(snapshot, 0), 10) << "the A100 that end first are not for it";
  EXPECT_EQ(HoursUntilStart(snapshot, 1), 1) << "nobody ahead of it takes A100";
  snapshot.waiting[0].ranks[0].gpu_models.clear();
  EXPECT_EQ(HoursUntilStart(snapshot, 0), 1) << "it takes what comes first";
}

TEST(EstimateTest, RunsWithoutDevicesWaitForCores) {
  Snapshot snapshot = TwoModels();
  snapshot.running[0].ranks[0].cpu_milli = snapshot.running[0].slices[0].cpu_milli = 64000;
  snapshot.running[1].ranks[0].cpu_milli = snapshot.running[1].slices[0].cpu_milli = 64000;
  for (NodeView& node : snapshot.nodes) node.cpu_milli_free = 0;
  snapshot.waiting = {MakeRun(3, 1, MakeNeeds(32000))};
  EXPECT_EQ(HoursUntilStart(snapshot, 0), 1);
}

}  // namespace
}  // namespace trainyard::placement
