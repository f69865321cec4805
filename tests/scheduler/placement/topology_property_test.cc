// Random gangs with topologies on random racks, most of them by preemption: where a topology is
// required the gang lies in no more domains than it asks for, whoever had to make way, and it keeps
// to its best model where that can be had.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "common/random.h"
#include "scheduler/placement/planner.h"
#include "tests/scheduler/placement/builders.h"

namespace trainyard::placement {
namespace {

constexpr int64_t kSecond = 1'000'000;

class Racks {
 public:
  explicit Racks(uint64_t seed) : random_(seed), planner_(*PolicyNamed("las-r")) {
    const int nodes = 6 + static_cast<int>(random_.Below(5));
    for (int i = 0; i < nodes; ++i) {
      NodeView node = MakeNode(absl::StrCat("n", i), 64, 4, i % 2 == 0 ? "A100" : "T4");
      node.rack = absl::StrCat("r", i / 3);
      racks_[node.node_id] = node.rack;
      planner_.SetNode(node);
    }
  }

  void Step() {
    now_us_ += (1 + static_cast<int64_t>(random_.Below(400))) * kSecond;
    if (runs_.size() > 12 || (!runs_.empty() && random_.Below(4) == 0)) {
      auto victim = runs_.begin();
      std::advance(victim, random_.Below(runs_.size()));
      planner_.Remove(victim->first, now_us_);
      runs_.erase(victim);
    } else {
      Arrive();
    }
    for (int round = 0; round < 20; ++round) {
      const Plan plan = planner_.Decide(now_us_);
      for (const Placement& placement : plan.placements) Check(placement);
      if (plan.preemptions.empty()) return;
      for (const Preemption& preemption : plan.preemptions) {
        makes_way_for_.insert(preemption.for_run_uid);
        WaitingRun again = runs_.at(preemption.run_uid);
        again.queued_us = now_us_;
        planner_.AddWaiting(again, now_us_);
      }
    }
    FAIL() << "the plans do not come to rest";
  }
  int by_preemption() const { return by_preemption_; }

 private:
  void Arrive() {
    WaitingRun run =
        MakeRun(next_uid_++, 1 + static_cast<int>(random_.Below(4)), MakeNeeds(1000, 2));
    run.queued_us = now_us_;
    run.preemptible = true;
    run.priority = static_cast<int32_t>(random_.Below(4));
    run.spread = random_.Below(4) == 0;
    if (random_.Below(3) == 0) {
      for (RankNeeds& needs : run.ranks) needs.gpu_models = {"A100", "T4"};
    }
    run.topology.required = random_.Below(4) != 0;
    run.topology.domain = random_.Below(3) == 0 ? Domain::kNode : Domain::kRack;
    run.topology.domains_max = 1 + static_cast<int32_t>(random_.Below(2));
    runs_[run.run_uid] = run;
    planner_.AddWaiting(run, now_us_);
  }

  void Check(const Placement& placement) {
    const WaitingRun& run = runs_.at(placement.run_uid);
    std::set<std::string> domains;
    size_t ranks = 0;
    for (const PlannedMember& member : placement.members) {
      ranks += member.ranks.size();
      domains.insert(run.topology.domain == Domain::kNode ? member.node_id
                                                          : racks_.at(member.node_id));
    }
    ASSERT_EQ(ranks, run.ranks.size());
    if (makes_way_for_.contains(run.run_uid)) ++by_preemption_;
    if (!run.topology.required) return;
    ASSERT_LE(static_cast<int>(domains.size()), run.topology.domains_max)
        << run.run_uid << (makes_way_for_.contains(run.run_uid) ? " by preemption" : "");
  }

  Random random_;
  Planner planner_;
  int64_t now_us_ = kSecond;
  uint64_t next_uid_ = 1;
  std::map<std::string, std::string> racks_;
  std::map<uint64_t, WaitingRun> runs_;
  std::set<uint64_t> makes_way_for_;
  int by_preemption_ = 0;
};

TEST(TopologyPropertyTest, PreemptionKeepsToTheDomainsARunAsksFor) {
  int by_preemption = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Racks racks(seed);
    for (int i = 0; i < 300; ++i) {
      racks.Step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    by_preemption += racks.by_preemption();
  }
  EXPECT_GT(by_preemption, 300);
}

// Two nodes of A100 and two of T4 are held by others, who cost least on one of each. The gang lies
// on A100 all the same.
TEST(TopologyPropertyTest, AGangIsGivenOneModelWhereItCanBeHad) {
  Planner planner(*PolicyNamed("las-r"));
  for (const char* node : {"a1", "a2"}) planner.SetNode(MakeNode(node, 64, 4, "A100"));
  for (const char* node : {"t1", "t2"}) planner.SetNode(MakeNode(node, 64, 4, "T4"));
  for (uint64_t uid = 1; uid <= 8; ++uid) {
    WaitingRun run = MakeRun(uid, 1, MakeNeeds(1000, 2));
    run.preemptible = true;
    planner.AddWaiting(run, kSecond);
  }
  const Plan first = planner.Decide(kSecond);
  ASSERT_EQ(first.placements.size(), 8u);
  for (const Placement& placement : first.placements) {
    const bool cheap = placement.members[0].node_id.back() == '1';
    if (cheap) planner.Checkpointed(placement.run_uid, kCheckpointOnStop);
  }
  WaitingRun gang = MakeRun(9, 4, MakeNeeds(1000, 2));
  for (RankNeeds& needs : gang.ranks) needs.gpu_models = {"A100", "T4"};
  gang.priority = 1;
  const int64_t later_us = 1000 * kSecond;
  planner.AddWaiting(gang, later_us);
  const Plan plan = planner.Decide(later_us);
  ASSERT_EQ(plan.preemptions.size(), 4u);
  for (const Preemption& preemption : plan.preemptions)
    planner.Remove(preemption.run_uid, later_us);
  const Plan after = planner.Decide(later_us);
  ASSERT_EQ(after.placements.size(), 1u);
  for (const PlannedMember& member : after.placements[0].members) {
    EXPECT_EQ(member.node_id[0], 'a') << member.node_id;
  }
}

}  // namespace
}  // namespace trainyard::placement
