// Random clusters and queues, seeded: a plan never gives a device out twice, never exceeds a node,
// places gangs whole, keeps order among runs that need the same, and explains everybody else.
#include "common/random.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <utility>

#include "tests/scheduler/placement/builders.h"

namespace trainyard::placement {
namespace {

Snapshot RandomScene(Random* random) {
  Snapshot scene;
  const int nodes = static_cast<int>(random->Below(6));
  for (int i = 0; i < nodes; ++i) {
    NodeView node = MakeNode(absl::StrCat("n", i), 1 + static_cast<int>(random->Below(16)),
                             static_cast<int>(random->Below(9)));
    for (DeviceView& device : node.devices) {
      if (random->Below(4) == 0) device.milli_free = static_cast<int32_t>(random->Below(1000));
      device.healthy = random->Below(10) != 0;
    }
    node.cpu_milli_free -= static_cast<int64_t>(random->Below(node.cpu_milli_free));
    node.schedulable = random->Below(6) != 0;
    scene.nodes.push_back(std::move(node));
  }
  const int runs = static_cast<int>(random->Below(20));
  for (int i = 0; i < runs; ++i) {
    const bool fraction = random->Below(4) == 0;
    RankNeeds needs = MakeNeeds(static_cast<int>(random->Below(4000)),
                                fraction ? 0 : static_cast<int>(random->Below(4)),
                                fraction ? 1 + static_cast<int>(random->Below(999)) : 0);
    WaitingRun run = MakeRun(100 + i, 1 + static_cast<int>(random->Below(6)), needs);
    if (random->Below(3) == 0) run.ranks.back().cpu_milli += 500;
    run.spread = random->Below(2) == 0;
    run.priority = static_cast<int>(random->Below(3));
    if (random->Below(5) == 0) run.avoid_nodes = {"n0"};
    scene.waiting.push_back(std::move(run));
  }
  return scene;
}

void CheckPlan(const Snapshot& scene, const Plan& plan) {
  std::map<std::string, NodeView> nodes;
  for (const NodeView& node : scene.nodes) nodes[node.node_id] = node;
  std::map<uint64_t, WaitingRun> waiting;
  for (const WaitingRun& run : scene.waiting) waiting[run.run_uid] = run;
  std::set<uint64_t> answered;
  for (const Placement& placement : plan.placements) {
    ASSERT_TRUE(answered.insert(placement.run_uid).second);
    const WaitingRun& run = waiting.at(placement.run_uid);
    std::set<int32_t> ranks;
    std::set<std::string> used;
    for (const PlannedMember& member : placement.members) {
      ASSERT_TRUE(used.insert(member.node_id).second) << "one member per node";
      NodeView& node = nodes.at(member.node_id);
      ASSERT_TRUE(node.schedulable);
      ASSERT_EQ(member.ranks.size(), member.rank_devices.size());
      for (size_t i = 0; i < member.ranks.size(); ++i) {
        ASSERT_TRUE(ranks.insert(member.ranks[i]).second);
        const RankNeeds& needs = run.ranks.at(static_cast<size_t>(member.ranks[i]));
        node.cpu_milli_free -= needs.cpu_milli;
        node.memory_free -= needs.memory_bytes;
        const size_t devices = needs.gpu_milli > 0 ? 1 : static_cast<size_t>(needs.gpu_count);
        ASSERT_EQ(member.rank_devices[i].size(), devices);
        for (const std::string& uuid : member.rank_devices[i]) {
          for (DeviceView& device : node.devices) {
            if (device.uuid != uuid) continue;
            ASSERT_TRUE(device.healthy);
            device.milli_free -= needs.gpu_milli > 0 ? needs.gpu_milli : 1000;
            ASSERT_GE(device.milli_free, 0) << uuid << " given out twice";
          }
        }
      }
      ASSERT_GE(node.cpu_milli_free, 0);
      ASSERT_GE(node.memory_free, 0);
    }
    ASSERT_EQ(ranks.size(), run.ranks.size()) << "a gang is placed whole";
    ASSERT_EQ(placement.members.front().ranks.front(), 0) << "member 0 holds rank 0";
  }
  for (const Explanation& explanation : plan.explanations) {
    ASSERT_TRUE(answered.insert(explanation.run_uid).second);
    ASSERT_FALSE(explanation.reason.empty());
    ASSERT_FALSE(explanation.message.empty());
  }
  ASSERT_EQ(answered.size(), scene.waiting.size()) << "everybody is placed or explained";
}

TEST(RandomPlanTest, HoldsOnRandomScenes) {
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Random random(seed);
    const Snapshot scene = RandomScene(&random);
    const Plan plan = MakePlan(scene, {});
    CheckPlan(scene, plan);
    if (::testing::Test::HasFatalFailure()) return;
    // Equal scenes, equal plans, in whatever order those who wait are told.
    Snapshot other = scene;
    for (size_t i = other.waiting.size(); i > 1; --i) {
      std::swap(other.waiting[i - 1], other.waiting[random.Below(i)]);
    }
    const Plan again = MakePlan(other, {});
    ASSERT_EQ(again.placements.size(), plan.placements.size());
    for (size_t i = 0; i < plan.placements.size(); ++i) {
      ASSERT_EQ(again.placements[i].run_uid, plan.placements[i].run_uid);
      const auto& members = plan.placements[i].members;
      ASSERT_EQ(again.placements[i].members.size(), members.size());
      for (size_t m = 0; m < members.size(); ++m) {
        ASSERT_EQ(again.placements[i].members[m].node_id, members[m].node_id);
        ASSERT_EQ(again.placements[i].members[m].rank_devices, members[m].rank_devices);
      }
    }
    ASSERT_EQ(again.explanations.size(), plan.explanations.size());
    for (size_t i = 0; i < plan.explanations.size(); ++i) {
      ASSERT_EQ(again.explanations[i].run_uid, plan.explanations[i].run_uid);
      ASSERT_EQ(again.explanations[i].message, plan.explanations[i].message);
    }
  }
}

// What was said to have no capacity anywhere gets no place on the emptied cluster either.
TEST(RandomPlanTest, NoCapacityIsTrueOfTheEmptyCluster) {
  int seen = 0;
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    Random random(seed);
    Snapshot scene = RandomScene(&random);
    const Plan plan = MakePlan(scene, {});
    for (NodeView& node : scene.nodes) {
      node.schedulable = true;
      node.cpu_milli_free = node.cpu_milli_total;
      for (DeviceView& device : node.devices) device.milli_free = 1000;
    }
    for (const Explanation& explanation : plan.explanations) {
      if (explanation.reason != "NO_CAPACITY") continue;
      ++seen;
      Snapshot alone = scene;
      std::erase_if(alone.waiting,
                    [&](const WaitingRun& run) { return run.run_uid != explanation.run_uid; });
      ASSERT_TRUE(MakePlan(alone, {}).placements.empty()) << "seed " << seed;
    }
  }
  EXPECT_GT(seen, 100);
}

}  // namespace
}  // namespace trainyard::placement
