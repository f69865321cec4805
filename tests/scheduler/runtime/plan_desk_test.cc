// Planner threads that are told what changed decide as one that sees everything anew.
#include "scheduler/runtime/plan_desk.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/random.h"
#include "tests/scheduler/runtime/scene.h"

namespace trainyard::runtime {
namespace {

// A few nodes, jobs that come and go, agents that do what they are told a little later.
class Traffic {
 public:
  explicit Traffic(uint64_t seed) : random_(seed) {
    scene.policy = *placement::PolicyNamed("las-r");
    scene.policy.keep_share = 0;  // a plan from the state alone does not know what is kept
    scene.plan_apart = true;
    scene.Restart();
    for (const char* node : {"a", "b", "c", "d"}) Join(node);
  }

  void Turn() {
    switch (random_.Below(8)) {
      case 0:
      case 1:
      case 2:
        Submit();
        break;
      case 3:
        if (!jobs_.empty()) {
          const std::string& job = jobs_[random_.Below(jobs_.size())];
          scene.Do(core::CancelJob{"default", job, ""}).IgnoreError();
        }
        break;
      case 4:
        Pass(static_cast<int>(random_.Below(400)));
        break;
      case 5:
        if (random_.Below(10) == 0) Join(nodes_[random_.Below(nodes_.size())]);
        break;
      default:
        End();
    }
    Pass(1);
    Obey();
  }
  // Lets everybody who is told to stop do so.
  void Quiet() {
    for (int i = 0; i < 20; ++i) {
      Obey();
      while (!stopping_.empty()) Leave(stopping_.begin()->first);
      Pass(2);
    }
  }
  // What a plan from nothing but the state would do now.
  placement::Plan Fresh() {
    const core::State& state = scene.runtime().engine().state();
    ClusterBook book;
    for (const std::string& node : nodes_) book.SetLinked(node, true);
    book.Fill(state);
    bool truncated = false;
    return placement::MakePlan(
        book.Snapshot(state, SIZE_MAX, absl::ToUnixMicros(scene.clock.Now()), &truncated),
        scene.policy);
  }

  Scene scene;

 private:
  using Member = std::pair<uint64_t, uint64_t>;  // run, epoch

  void Join(const std::string& node) {
    if (std::find(nodes_.begin(), nodes_.end(), node) == nodes_.end()) nodes_.push_back(node);
    agent::v1::Hello hello;
    hello.mutable_inventory()->set_node_id(node);
    hello.mutable_inventory()->set_cores(16);
    hello.mutable_inventory()->set_memory_bytes(int64_t{1} << 33);
    for (int i = 0; i < 4; ++i) {
      v1::Device* device = hello.mutable_inventory()->add_devices();
      device->set_uuid(absl::StrCat(node, i));
      device->set_model("H100");
      device->set_index(i);
      device->set_healthy(true);
    }
    for (const auto& [member, where] : running_) {
      const auto key = where.find(node);
      if (key == where.end()) continue;
      agent::v1::MemberReport& report = *hello.add_members();
      *report.mutable_key() = key->second;
      report.set_phase(agent::v1::RUNNING_PHASE);
    }
    scene.runtime().AgentConnected(node, ++session_, hello,
                                   [](const auto& welcome) { EXPECT_TRUE(welcome.ok()); });
    scene.Step();
  }
  void Pass(int seconds) {
    for (int left = seconds; left >= 0; left -= 5) {
      scene.clock.Pass(absl::Seconds(std::clamp(left, 0, 5)));
      for (const std::string& node : nodes_) scene.runtime().AgentHeartbeat(node);
      scene.Step();
    }
  }
  void Submit() {
    v1::JobSpec spec = MakeSpec(1 + static_cast<int>(random_.Below(3)));
    if (random_.Below(4) != 0) {
      const int gpus = random_.Below(3) == 0 ? 4 : 1 + static_cast<int>(random_.Below(2));
      spec.mutable_worker_pools(0)->mutable_resources()->set_gpu_count(gpus);
    }
    spec.mutable_scheduling()->set_preemptible(random_.Below(4) != 0);
    if (random_.Below(6) == 0) spec.mutable_scheduling()->set_priority(3);
    jobs_.push_back(absl::StrCat("j", jobs_.size()));
    scene.Submit(jobs_.back(), spec);
  }
  void Obey() {
    for (const std::string& node : nodes_) {
      for (const agent::v1::DesiredMember& member : scene.Ordered(node)) {
        const Member id{member.key().run_uid(), member.key().epoch()};
        if (member.want() == agent::v1::STOPPED) {
          if (running_.contains(id)) stopping_[id] = running_[id];
        } else if (member.has_assignment() && !running_[id].contains(node)) {
          running_[id][node] = member.key();
          Say(node, member.key(), [](agent::v1::Fact* fact) { fact->mutable_prepared(); });
          Say(node, member.key(),
              [](agent::v1::Fact* fact) { fact->mutable_running()->set_pid(1); });
        }
      }
    }
    while (!stopping_.empty() && random_.Below(2) == 0) Leave(stopping_.begin()->first);
  }
  template <typename Fill>
  void Say(const std::string& node, const agent::v1::MemberKey& key, const Fill& fill) {
    agent::v1::Fact fact;
    *fact.mutable_key() = key;
    fill(&fact);
    scene.Tell(node, fact);
  }
  void Leave(const Member& id) {
    const auto members = running_[id];
    const bool asked = stopping_.contains(id);
    running_.erase(id);
    stopping_.erase(id);
    for (const auto& [node, key] : members) {
      Say(node, key, [&](agent::v1::Fact* fact) {
        fact->mutable_exited()->mutable_record()->set_rank(-1);
        if (!asked) return;
        fact->mutable_exited()->set_stopped_on_request(true);
        fact->mutable_exited()->mutable_record()->set_cause(v1::PREEMPTED_CAUSE);
      });
    }
    for (const auto& [node, key] : members) {
      Say(node, key, [](agent::v1::Fact* fact) { fact->mutable_released(); });
    }
  }
  void End() {
    if (running_.empty()) return;
    auto one = running_.begin();
    std::advance(one, static_cast<ptrdiff_t>(random_.Below(running_.size())));
    const Member id = one->first;
    Leave(id);
  }

  Random random_;
  std::vector<std::string> nodes_;
  uint64_t session_ = 0;
  std::vector<std::string> jobs_;
  std::map<Member, std::map<std::string, agent::v1::MemberKey>> running_;
  std::map<Member, std::map<std::string, agent::v1::MemberKey>> stopping_;
};

TEST(PlanDeskTest, WhatIsFollowedLeavesNothingToDo) {
  Engine::PlanCounts counts;
  int waited = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Traffic traffic(seed);
    for (int turn = 0; turn < 120; ++turn) {
      traffic.Turn();
      if (turn % 20 != 19) continue;
      traffic.Quiet();
      const placement::Plan plan = traffic.Fresh();
      ASSERT_EQ(plan.placements.size(), 0u)
          << "turn " << turn << ": run " << plan.placements[0].run_uid << " would start";
      ASSERT_EQ(plan.preemptions.size(), 0u) << "turn " << turn;
      waited += plan.explanations.empty() ? 0 : 1;
    }
    counts.all += traffic.scene.runtime().engine().plan_counts().all;
    counts.whole += traffic.scene.runtime().engine().plan_counts().whole;
  }
  EXPECT_GT(waited, 20) << "somebody waits most of the time";
  EXPECT_GT(counts.all, 2 * counts.whole) << "most plans follow what changed";
}

// A job that fits starts by a plan of what changed, not of everybody.
TEST(PlanDeskTest, AJobThatFitsStartsWithoutAWholePlan) {
  Traffic traffic(1);
  Scene& scene = traffic.scene;
  v1::JobSpec large = MakeSpec(4);
  large.mutable_worker_pools(0)->mutable_resources()->set_gpu_count(4);
  scene.Submit("all", large);
  scene.Submit("waits", large);
  const int64_t whole = scene.runtime().engine().plan_counts().whole;
  const uint64_t small = scene.Submit("small");
  EXPECT_EQ(scene.view().Job(small)->state(), v1::PREPARING);
  EXPECT_EQ(scene.runtime().engine().plan_counts().whole, whole);
}

}  // namespace
}  // namespace trainyard::runtime
