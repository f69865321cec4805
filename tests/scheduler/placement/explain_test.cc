// The oracle of explanations: what is said to start a run is done to the scene, by hand where that
// is simple, and the run starts. Random scenes, seeded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "common/random.h"
#include "scheduler/placement/what_if.h"
#include "tests/scheduler/placement/builders.h"

namespace trainyard::placement {
namespace {

using Change = Counterfactual::Change;

constexpr int64_t kHour = int64_t{3600} * 1'000'000;

// A few nodes that are mostly full, two teams with quotas now and then, a node that leaves soon.
class Scenes {
 public:
  explicit Scenes(uint64_t seed) : random_(seed) {}

  Snapshot Make() {
    Snapshot scene;
    scene.now_us = 100 * kHour;
    const int nodes = 1 + static_cast<int>(random_.Below(3));
    for (int i = 0; i < nodes; ++i) {
      scene.nodes.push_back(MakeNode(absl::StrCat("n", i), 64, 8, i == 0 ? "A100" : "H100"));
      if (random_.Below(4) == 0) scene.nodes.back().available_until_us = scene.now_us + 5 * kHour;
    }
    uint64_t uid = 1;
    for (NodeView& node : scene.nodes) {
      while (random_.Below(5) != 0) {
        if (!Hold(uid++, &node, &scene)) break;
      }
    }
    if (random_.Below(2) == 0) Quotas(8 * nodes, &scene);
    const uint64_t waiting = 1 + random_.Below(5);
    for (uint64_t i = 0; i < waiting; ++i) scene.waiting.push_back(Wait(uid++, nodes));
    return scene;
  }
  uint64_t Below(uint64_t bound) { return random_.Below(bound); }

 private:
  void Common(RunView* run) {
    run->team = random_.Below(2) == 0 ? "a" : "b";
    run->preemptible = random_.Below(2) == 0;
    run->priority = random_.Below(6) == 0 ? 1 : 0;
    run->principal = absl::StrCat("user", random_.Below(3));
  }
  bool Hold(uint64_t uid, NodeView* node, Snapshot* scene) {
    const int gpus = 1 + static_cast<int>(random_.Below(4));
    RunningRun run;
    run.run_uid = uid;
    Common(&run);
    run.started_us = scene->now_us - static_cast<int64_t>(random_.Below(40)) * kHour;
    run.attained_device_us = (scene->now_us - run.started_us) * gpus;
    run.ranks = {MakeNeeds(1000, gpus)};
    RunningRun::Slice& slice = run.slices.emplace_back();
    slice.node_id = node->node_id;
    slice.cpu_milli = 1000;
    for (DeviceView& device : node->devices) {
      if (std::ssize(slice.device_uuids) == gpus || device.milli_free == 0) continue;
      slice.device_uuids.push_back(device.uuid);
    }
    if (std::ssize(slice.device_uuids) < gpus) return false;
    for (DeviceView& device : node->devices) {
      const auto& uuids = slice.device_uuids;
      if (std::find(uuids.begin(), uuids.end(), device.uuid) != uuids.end()) device.milli_free = 0;
    }
    node->cpu_milli_free -= 1000;
    scene->running.push_back(std::move(run));
    return true;
  }
  void Quotas(int64_t devices, Snapshot* scene) {
    for (const char* team : {"a", "b"}) {
      QuotaNode& node = scene->quotas.emplace_back();
      node.team = team;
      node.by_model[""].guarantee_milli = static_cast<int64_t>(random_.Below(4)) * 1000;
      if (random_.Below(2) == 0) {
        node.by_model[""].limit_milli = static_cast<int64_t>(random_.Below(8)) * devices * 125;
      }
    }
  }
  WaitingRun Wait(uint64_t uid, int nodes) {
    const int gpus = 1 + static_cast<int>(random_.Below(8));
    const uint64_t ranks = random_.Below(4) == 0 ? 1 + random_.Below(nodes) : 1;
    WaitingRun run = MakeRun(uid, static_cast<int>(ranks), MakeNeeds(1000, gpus));
    Common(&run);
    run.hold = random_.Below(8) == 0;
    if (random_.Below(4) == 0) {
      for (RankNeeds& needs : run.ranks) needs.gpu_models = {"A100"};
    }
    if (random_.Below(3) == 0) run.time_limit_us = 10 * kHour;
    return run;
  }
  Random random_;
};

WaitingRun& Find(Snapshot* scene, uint64_t uid) {
  return *std::find_if(scene->waiting.begin(), scene->waiting.end(),
                       [&](const WaitingRun& run) { return run.run_uid == uid; });
}

// The change as a reader of its words would make it; false: not one of the simple ones.
bool ByHand(const Counterfactual& change, uint64_t uid, Snapshot* scene) {
  WaitingRun& run = Find(scene, uid);
  switch (change.change) {
    case Change::kRanks:
      run.ranks.resize(static_cast<size_t>(change.value));
      return true;
    case Change::kGpus:
      for (RankNeeds& needs : run.ranks) needs.gpu_count = static_cast<int32_t>(change.value);
      return true;
    case Change::kTimeLimit:
      run.time_limit_us = change.value;
      return true;
    case Change::kPreemptible:
      run.preemptible = true;
      return true;
    case Change::kPriority:
      run.priority = static_cast<int32_t>(change.value);
      return true;
    case Change::kRelease:
      run.hold = false;
      return true;
    case Change::kModel:
      for (RankNeeds& needs : run.ranks) needs.gpu_models.push_back(change.subject);
      return true;
    case Change::kGuarantee:
    case Change::kLimit:
    case Change::kTopology:
    case Change::kNodes:
      return false;
  }
  return false;
}

// Whether the whole plan of the scene places the run or makes room for it.
bool DoesStart(const Snapshot& scene, const Policy& policy, uint64_t uid) {
  const Plan plan = MakePlan(scene, policy);
  return std::any_of(plan.placements.begin(), plan.placements.end(),
                     [&](const Placement& placement) { return placement.run_uid == uid; }) ||
         std::any_of(plan.preemptions.begin(), plan.preemptions.end(),
                     [&](const Preemption& preemption) { return preemption.for_run_uid == uid; });
}

TEST(ExplainOracleTest, WhatIsSaidToStartARunStartsIt) {
  std::map<Change, int> seen;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    Scenes scenes(seed);
    const Snapshot scene = scenes.Make();
    const std::vector<std::string> names = {"las-r", "fifo", "skip", "easy", "fair"};
    const Policy policy = *PolicyNamed(names[seed % names.size()]);
    SCOPED_TRACE(absl::StrCat("seed ", seed, " ", policy.name));
    const Plan plan = MakePlan(scene, policy);
    for (const Explanation& explanation : plan.explanations) {
      if (explanation.reason == "WAITING_FOR_PREEMPTION") continue;  // it starts as it is
      for (const Counterfactual& change : WhatIf(scene, policy, explanation.run_uid)) {
        ++seen[change.change];
        ASSERT_EQ(change.start_us, scene.now_us) << change.text;
        Snapshot changed = scene;
        if (!ByHand(change, explanation.run_uid, &changed)) {
          changed = Apply(change, explanation.run_uid, scene);
        }
        ASSERT_TRUE(DoesStart(changed, policy, explanation.run_uid))
            << explanation.run_uid << ": " << change.text;
        if (change.change != Change::kGpus && change.change != Change::kRanks) continue;
        // It says the most with which it starts.
        Snapshot more = scene;
        Counterfactual next = change;
        ++next.value;
        ByHand(next, explanation.run_uid, &more);
        ASSERT_FALSE(DoesStart(more, policy, explanation.run_uid)) << change.text;
      }
    }
  }
  for (const Change change :
       {Change::kRanks, Change::kGpus, Change::kPreemptible, Change::kPriority, Change::kLimit,
        Change::kGuarantee, Change::kRelease, Change::kModel, Change::kTimeLimit}) {
    EXPECT_GT(seen[change], 5) << static_cast<int>(change);
  }
}

// A search that is ended says what it had tried by then, and nothing that it had not.
TEST(ExplainOracleTest, AnEndedSearchTellsOnlyWhatItTried) {
  int told = 0;
  int cut_short = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Scenes scenes(seed);
    const Snapshot scene = scenes.Make();
    const Policy policy = *PolicyNamed("las-r");
    for (const Explanation& explanation : MakePlan(scene, policy).explanations) {
      const uint64_t uid = explanation.run_uid;
      const size_t all = WhatIf(scene, policy, uid).size();
      for (const int most : {0, 1, 3, 6}) {
        int tries = 0;
        int planned = 0;
        const Starts starts = [&](const Snapshot& changed) {
          ++planned;
          return StartsNow(changed, policy, uid);
        };
        const auto changes = WhatIf(scene, policy, uid, starts, [&] { return tries++ < most; });
        ASSERT_LE(planned, most);
        ASSERT_LE(changes.size(), all);
        cut_short += changes.size() < all ? 1 : 0;
        for (const Counterfactual& change : changes) {
          ++told;
          ASSERT_TRUE(DoesStart(Apply(change, uid, scene), policy, uid)) << change.text;
        }
      }
    }
  }
  EXPECT_GT(told, 20);
  EXPECT_GT(cut_short, 20);
}

// Nobody who was placed is explained, and nobody is told a start that has passed or lies outside
// its band.
TEST(ExplainOracleTest, EverybodyIsToldOneThing) {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    Scenes scenes(seed);
    const Snapshot scene = scenes.Make();
    const Plan plan = MakePlan(scene, *PolicyNamed(seed % 2 == 0 ? "las-r" : "fair"));
    std::set<uint64_t> told;
    for (const Placement& placement : plan.placements) told.insert(placement.run_uid);
    for (const Explanation& explanation : plan.explanations) {
      ASSERT_TRUE(told.insert(explanation.run_uid).second);
      ASSERT_FALSE(explanation.message.empty());
      if (explanation.estimated_start_us == 0) {
        ASSERT_EQ(explanation.estimate_latest_us, 0) << "told nothing, then nothing at all";
        ASSERT_EQ(explanation.estimate_earliest_us, 0);
        continue;
      }
      ASSERT_GE(explanation.estimated_start_us, scene.now_us);
      ASSERT_LE(explanation.estimate_earliest_us, explanation.estimated_start_us);
      ASSERT_GE(explanation.estimate_latest_us, explanation.estimated_start_us);
    }
    ASSERT_EQ(told.size(), scene.waiting.size());
  }
}

TEST(ExplainTest, AnElasticRunWaitsForTheFewestRanksThatItCanStartWith) {
  Snapshot snapshot;
  snapshot.now_us = 1;
  snapshot.nodes = {MakeNode("a", 2)};
  snapshot.nodes[0].cpu_milli_free = 1000;
  RunningRun holder;
  holder.run_uid = 1;
  holder.ranks = {MakeNeeds(1000)};
  holder.slices.emplace_back().node_id = "a";
  holder.slices[0].cpu_milli = 1000;
  snapshot.running = {holder};
  WaitingRun run = MakeRun(2, 3, MakeNeeds(1000));
  run.ranks_min = 2;
  run.ranks_max = 3;
  snapshot.waiting = {run};
  for (const std::string& policy : PolicyNames()) {
    Plan plan = MakePlan(snapshot, *PolicyNamed(policy));
    ASSERT_EQ(plan.explanations.size(), 1u) << policy;
    EXPECT_NE(plan.explanations[0].reason, "NO_CAPACITY") << policy;
    EXPECT_THAT(plan.explanations[0].message, ::testing::HasSubstr("at least 2 of its 3 ranks"));
    Snapshot free = snapshot;
    free.running.clear();
    free.nodes[0].cpu_milli_free = 2000;
    plan = MakePlan(free, *PolicyNamed(policy));
    ASSERT_EQ(plan.placements.size(), 1u) << policy;
    EXPECT_EQ(plan.placements[0].members[0].ranks.size(), 2u) << policy;
  }
  snapshot.waiting[0].ranks_min = 3;
  const Plan plan = MakePlan(snapshot, *PolicyNamed("las-r"));
  EXPECT_EQ(plan.explanations[0].reason, "NO_CAPACITY") << "three never fit";
}

TEST(ExplainTest, AnElasticRunTakesWhatItsQuotaLeaves) {
  Snapshot snapshot;
  snapshot.now_us = 1;
  snapshot.nodes = {MakeNode("a", 8)};
  WaitingRun run = MakeRun(2, 4, MakeNeeds(1000));
  run.ranks_min = 1;
  run.ranks_max = 4;
  run.project = "p";
  snapshot.waiting = {run};
  QuotaNode quota;
  quota.project = "p";
  quota.by_model["cpu"].limit_milli = 2000;
  snapshot.quotas = {quota};
  const Plan plan = MakePlan(snapshot, *PolicyNamed("las-r"));
  ASSERT_EQ(plan.placements.size(), 1u);
  EXPECT_EQ(plan.placements[0].members[0].ranks.size(), 2u);
}

// "with a limit of 3 A100 GPUs" is that and nothing else.
TEST(ExplainTest, AChangeOfAQuotaIsOfTheModelThatItNames) {
  Snapshot snapshot;
  snapshot.waiting = {MakeRun(1, 1, MakeNeeds(1000, 1))};
  snapshot.quotas.emplace_back().team = "t";
  for (const char* model : {"", "A100", "T4"}) {
    snapshot.quotas[0].by_model[model].limit_milli = 2000;
  }
  Counterfactual change;
  change.change = Change::kLimit;
  change.subject = "t//";
  change.model = "A100";
  change.value = 3000;
  const auto shares = Apply(change, 1, snapshot).quotas.at(0).by_model;
  EXPECT_EQ(shares.at("A100").limit_milli, 3000);
  EXPECT_EQ(shares.at("").limit_milli, 2000);
  EXPECT_EQ(shares.at("T4").limit_milli, 2000);
}

TEST(ExplainTest, LabelsThatNoNodeHasAreNamed) {
  Snapshot snapshot;
  snapshot.now_us = 1;
  snapshot.nodes = {MakeNode("a", 8), MakeNode("b", 8)};
  snapshot.nodes[0].labels["zone"] = "b";
  WaitingRun run = MakeRun(2, 1, MakeNeeds(1000));
  run.node_labels["zone"] = "a";
  snapshot.waiting = {run};
  Plan plan = MakePlan(snapshot, *PolicyNamed("las-r"));
  EXPECT_EQ(plan.explanations[0].reason, "NO_CAPACITY");
  EXPECT_EQ(plan.explanations[0].message, "no node has the label zone=a");
  snapshot.waiting[0].node_labels["zone"] = "b";
  snapshot.nodes[0].taints.push_back({"spot", "yes"});
  plan = MakePlan(snapshot, *PolicyNamed("las-r"));
  EXPECT_THAT(plan.explanations[0].message, ::testing::HasSubstr("taints spot=yes"));
}

std::string WhyNot(const Snapshot& snapshot) {
  const Plan plan = MakePlan(snapshot, *PolicyNamed("las-r"));
  return plan.explanations.empty() ? "" : plan.explanations[0].message;
}

TEST(ExplainTest, GpusThatNoNodeHasAreToldFromThoseThatAreBusy) {
  Snapshot snapshot;
  snapshot.now_us = 1;
  snapshot.nodes = {MakeNode("a", 8)};
  RankNeeds needs = MakeNeeds(1000, 2);
  snapshot.waiting = {MakeRun(2, 1, needs)};
  EXPECT_EQ(WhyNot(snapshot), "needs 2 GPUs, but no node has a GPU");
  snapshot.waiting = {MakeRun(2, 1, MakeNeeds(1000, 0, 500))};
  EXPECT_EQ(WhyNot(snapshot), "needs 500/1000 of a GPU, but no node has a GPU");
  snapshot.nodes = {MakeNode("a", 8, 4, "A100"), MakeNode("b", 8, 4, "T4")};
  for (NodeView& node : snapshot.nodes) {
    for (DeviceView& device : node.devices) device.memory_bytes = 40 * kGiB;
  }
  needs.gpu_models = {"A10O"};
  snapshot.waiting = {MakeRun(2, 1, needs)};
  EXPECT_EQ(WhyNot(snapshot),
            "needs 2 GPUs (A10O), but no node has a GPU of that model; there are A100, T4 (is A100 "
            "meant?)");
  needs.gpu_models = {"A100"};
  needs.gpu_memory_bytes = 80 * kGiB;
  snapshot.waiting = {MakeRun(2, 1, needs)};
  EXPECT_EQ(WhyNot(snapshot),
            "needs 2 GPUs (A100, at least 80.0 GiB), but the largest there has 40.0 GiB");
  needs.gpu_memory_bytes = 0;
  needs.gpu_profile = "1g.5gb";
  snapshot.waiting = {MakeRun(2, 1, needs)};
  EXPECT_EQ(WhyNot(snapshot), "needs 2 GPU slices (A100 1g.5gb), but no GPU is cut into slices");
}

TEST(ExplainTest, NodesThatNameNoRackAreToldOf) {
  Snapshot snapshot;
  snapshot.now_us = 1;
  snapshot.nodes = {MakeNode("a", 8), MakeNode("b", 8)};
  WaitingRun run = MakeRun(2, 2, MakeNeeds(5000));
  run.topology = {Domain::kRack, 1, true};
  snapshot.waiting = {run};
  EXPECT_THAT(WhyNot(snapshot),
              ::testing::HasSubstr("; no node says by its label rack which rack it is in"));
  snapshot.nodes[0].rack = "r1";
  EXPECT_THAT(WhyNot(snapshot), ::testing::HasSubstr("; not every node says by its label rack"));
}

TEST(ExplainTest, AQuotaBelowTheNeedsOfARunIsToldAsNever) {
  Snapshot snapshot;
  snapshot.now_us = 1;
  snapshot.nodes = {MakeNode("a", 8, 8)};
  WaitingRun run = MakeRun(2, 1, MakeNeeds(1000, 4));
  run.project = "p";
  snapshot.waiting = {run};
  QuotaNode quota;
  quota.project = "p";
  quota.by_model[""].limit_milli = 2000;
  snapshot.quotas = {quota};
  EXPECT_EQ(WhyNot(snapshot),
            "needs 4 GPUs, more than project p may ever use: its limit is 2; it starts only when "
            "that is raised or it asks for less");
}

}  // namespace
}  // namespace trainyard::placement
