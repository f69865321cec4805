// Free room kept up to date from rows must equal what a fresh book computes from the whole state.
#include "scheduler/runtime/cluster_book.h"

#include <gtest/gtest.h>

#include "common/random.h"
#include "scheduler/runtime/planner_view.h"
#include "tests/scheduler/runtime/scene.h"

namespace trainyard::runtime {
namespace {

core::Touched Everything(const core::State& state) {
  core::Touched all;
  for (const auto& [uid, run] : state.runs) all.runs.insert(uid);
  for (const auto& [id, agent] : state.agents) all.agents.insert(id);
  return all;
}

std::string Describe(const placement::Snapshot& snapshot) {
  std::string out;
  for (const placement::NodeView& node : snapshot.nodes) {
    absl::StrAppend(&out, node.node_id, " ", node.schedulable, " ", node.cpu_milli_free, "/",
                    node.cpu_milli_total, " ", node.memory_free, "\n");
  }
  for (const placement::WaitingRun& run : snapshot.waiting) {
    absl::StrAppend(&out, run.run_uid, " p", run.priority, " r", run.ranks.size(), "\n");
  }
  return out;
}

TEST(ClusterBookTest, ChangesAddUpToTheWhole) {
  Scene scene;
  Random random(7);
  ClusterBook kept;
  for (const char* node : {"a", "b"}) {
    scene.Connect(node, 4);
    kept.SetLinked(node, true);
  }
  std::map<std::string, std::vector<agent::v1::MemberKey>> running;
  for (int i = 0; i < 200; ++i) {
    if (random.Below(2) == 0) {
      v1::JobSpec spec = MakeSpec(1 + static_cast<int>(random.Below(4)), 700);
      spec.mutable_scheduling()->set_priority(static_cast<int>(random.Below(3)));
      scene.Submit(absl::StrCat("j", i), spec);
    }
    for (const char* node : {"a", "b"}) {
      for (const auto& member : scene.Ordered(node)) {
        if (member.has_assignment()) running[node].push_back(member.key());
      }
      if (!running[node].empty() && random.Below(2) == 0) {
        scene.RunToSuccess(node, running[node].back());
        running[node].pop_back();
      }
    }
    const core::State& state = scene.runtime().engine().state();
    kept.Update(state, Everything(state));
    ClusterBook fresh;
    for (const char* node : {"a", "b"}) fresh.SetLinked(node, true);
    fresh.Update(state, Everything(state));
    bool truncated = false;
    ASSERT_EQ(Describe(kept.Snapshot(state, 1000, 0, &truncated)),
              Describe(fresh.Snapshot(state, 1000, 0, &truncated)))
        << "step " << i;
  }
}

TEST(ClusterBookTest, WaitingRunsComeInOrderAndAreCut) {
  Scene scene;
  for (int i = 0; i < 10; ++i) {
    v1::JobSpec spec = MakeSpec();
    spec.mutable_scheduling()->set_priority(i % 2);
    scene.Submit(absl::StrCat("j", i), spec);
  }
  ClusterBook book;
  const core::State& state = scene.runtime().engine().state();
  book.Update(state, Everything(state));
  bool truncated = false;
  const placement::Snapshot snapshot = book.Snapshot(state, 6, 0, &truncated);
  EXPECT_TRUE(truncated);
  ASSERT_EQ(snapshot.waiting.size(), 6u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(snapshot.waiting[i].priority, 1);
  EXPECT_EQ(snapshot.waiting[5].priority, 0);
  EXPECT_LT(snapshot.waiting[0].run_uid, snapshot.waiting[1].run_uid);
}

// A strict run stands outside the queue while a member of its last attempt may still compute, and
// gets back into it by word of that member, or when the member's node is given up.
// The plan was made before a node came: what it calls hopeless may fit by now.
TEST(ClusterBookTest, AnOldPlanParksNobody) {
  Scene scene;
  const uint64_t job = scene.Submit("j");
  ClusterBook book;
  const core::State& state = scene.runtime().engine().state();
  book.Update(state, Everything(state));
  const uint64_t run = scene.view().Job(job)->run_uid();
  const uint64_t before = book.version();
  book.SetLinked("n1", true);
  book.Park({run}, before);
  EXPECT_TRUE(book.Waits(run));
  book.Park({run}, book.version());
  EXPECT_FALSE(book.Waits(run));
  book.SetLinked("n1", false);
  EXPECT_TRUE(book.Waits(run)) << "nodes changed";
}

TEST(ClusterBookTest, StrictRunsQueueAgainWhenTheLastAttemptIsGone) {
  for (const bool node_is_lost : {false, true}) {
    Scene scene;
    scene.Connect("n1", 1);
    v1::JobSpec spec = MakeSpec();
    spec.mutable_scheduling()->set_strict_lease(true);
    spec.mutable_scheduling()->set_max_retries(1);
    const uint64_t job = scene.Submit("strict", spec);
    const auto run = [&] { return scene.view().Run(scene.view().Job(job)->run_uid()); };
    agent::v1::Fact fact;
    *fact.mutable_key() = scene.Ordered("n1").at(0).key();
    fact.mutable_running()->set_pid(1);
    scene.Tell("n1", fact);
    fact.mutable_exited()->mutable_record()->set_cause(v1::USER_ERROR);
    scene.Tell("n1", fact);
    scene.Connect("n2", 1);
    const auto pass = [&](int seconds, bool both) {
      for (int i = 0; i < seconds; ++i) {
        scene.clock.Pass(absl::Seconds(1));
        EXPECT_TRUE(scene.runtime().AgentHeartbeat("n2"));
        if (both) {
          EXPECT_TRUE(scene.runtime().AgentHeartbeat("n1"));
        }
        scene.Step();
      }
    };
    pass(20, true);
    EXPECT_EQ(run()->state(), journal::v1::R_WAITING) << "n1 has not released its member";
    EXPECT_TRUE(scene.Ordered("n2").empty());
    if (node_is_lost) {
      pass(20, false);
    } else {
      fact.mutable_released();
      scene.Tell("n1", fact);
    }
    EXPECT_EQ(run()->state(), journal::v1::R_ACTIVE) << "lost " << node_is_lost;
    if (node_is_lost) {
      EXPECT_EQ(run()->attempt().members(0).node_id(), "n2");
    }
  }
}

TEST(ClusterBookTest, ReplicasShareTheirResourcesAmongProcesses) {
  v1::JobSpec spec = MakeSpec(2, 1000);
  spec.mutable_launch()->set_processes_per_replica(2);
  v1::WorkerPool* evaluator = spec.add_worker_pools();
  evaluator->set_role("evaluator");
  evaluator->set_replica_count(1);
  const auto needs = NeedsOf(spec);
  ASSERT_EQ(needs.size(), 4u) << "evaluators take no part";
  EXPECT_EQ(needs[0].cpu_milli, 500);
}

}  // namespace
}  // namespace trainyard::runtime
