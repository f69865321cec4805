// A gang that lost a node is judged before that node's lease is over, when nobody hears of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/runtime/scene.h"

namespace trainyard::runtime {
namespace {

// One gang over the nodes a and b, of which each has two cores; b's network fails.
class LostGangsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    scene_.Connect("a", 2);
    scene_.Connect("b", 2);
    v1::JobSpec spec = MakeSpec(2, 1500);
    spec.mutable_scheduling()->set_max_infrastructure_retries(-1);
    job_ = scene_.Submit("gang", spec);
    for (const char* node : {"a", "b"}) {
      for (const agent::v1::DesiredMember& member : scene_.Ordered(node))
        keys_[node] = member.key();
    }
    ASSERT_EQ(keys_.size(), 2u);
    for (const auto& [node, key] : keys_) {
      agent::v1::Fact fact;
      *fact.mutable_key() = key;
      fact.mutable_prepared();
      scene_.Tell(node, fact);
    }
    for (const auto& [node, key] : keys_) {
      agent::v1::Fact fact;
      *fact.mutable_key() = key;
      fact.mutable_running()->set_pid(1);
      scene_.Tell(node, fact);
    }
    ASSERT_EQ(State(), v1::RUNNING);
  }

  // The end of a's member: what its mpirun says of b.
  void LoseB(v1::ExitCause cause = v1::NODE_LOST, int doubt = 1) {
    agent::v1::Fact fact;
    *fact.mutable_key() = keys_["a"];
    agent::v1::Exited* exited = fact.mutable_exited();
    exited->set_doubt(doubt);
    exited->mutable_record()->set_cause(cause);
    exited->mutable_record()->set_node("b");
    exited->mutable_record()->set_rank(-1);
    scene_.Tell("a", fact);
    fact.mutable_released();
    scene_.Tell("a", fact);
  }
  void Pass(int seconds, const std::vector<std::string>& heard) {
    for (int i = 0; i < seconds; ++i) {
      scene_.Live(absl::Seconds(1));
      for (const std::string& node : heard) EXPECT_TRUE(scene_.runtime().AgentHeartbeat(node));
    }
  }
  // Six jobs of half a core, after what was ordered before is read.
  void SubmitJobs() {
    for (const char* node : {"a", "b"}) scene_.Ordered(node);
    for (int i = 0; i < 6; ++i) scene_.Submit(absl::StrCat("small", i), MakeSpec(1, 500));
  }
  v1::JobState State() const { return scene_.view().Job(job_)->state(); }

  Scene scene_;
  uint64_t job_ = 0;
  std::map<std::string, agent::v1::MemberKey> keys_;
};

TEST_F(LostGangsTest, TheVerdictComesLongBeforeTheLeaseIsOver) {
  Pass(1, {"a"});
  LoseB();
  EXPECT_EQ(State(), v1::RUNNING) << "a heartbeat of b may be under way";
  Pass(1, {"a"});
  scene_.Live(absl::Milliseconds(100));
  ASSERT_EQ(State(), v1::FAILED);
  EXPECT_EQ(scene_.view().Job(job_)->error().cause(), v1::NODE_LOST);
  EXPECT_EQ(scene_.view().Job(job_)->error().node(), "b");
}

TEST_F(LostGangsTest, ANodeThatIsHeardTellsItsEndItself) {
  LoseB();
  Pass(10, {"a", "b"});
  EXPECT_EQ(State(), v1::RUNNING);
}

TEST_F(LostGangsTest, AFailureThatIsSureWaitsForTheOthersEnds) {
  LoseB(v1::USER_ERROR, 0);
  Pass(10, {"a"});
  EXPECT_EQ(State(), v1::RUNNING) << "until the grace is over";
}

TEST_F(LostGangsTest, NothingNewIsPlacedOnASilentNodeUntilItIsHeard) {
  Pass(2, {"a"});
  LoseB();
  scene_.Live(absl::Milliseconds(100));
  ASSERT_EQ(State(), v1::FAILED);
  SubmitJobs();
  EXPECT_EQ(scene_.Ordered("a").size(), 4u);
  EXPECT_TRUE(scene_.Ordered("b").empty()) << "though half a core of it is free";
  Pass(1, {"a"});
  EXPECT_TRUE(scene_.Ordered("b").empty());
  // It was cut off for a moment only. The old gang's member holds the rest until it lets go.
  Pass(2, {"a", "b"});
  EXPECT_EQ(scene_.Ordered("b").size(), 1u);
  agent::v1::Fact fact;
  *fact.mutable_key() = keys_["b"];
  fact.mutable_released();
  scene_.Tell("b", fact);
  EXPECT_EQ(scene_.Ordered("b").size(), 1u);
}

TEST_F(LostGangsTest, ANodeThatConnectsAnewIsOfUseAtOnce) {
  Pass(2, {"a"});
  LoseB();
  scene_.Live(absl::Milliseconds(100));
  ASSERT_EQ(State(), v1::FAILED);
  scene_.Connect("b", 2);
  SubmitJobs();
  EXPECT_EQ(scene_.Ordered("b").size(), 2u);
}

}  // namespace
}  // namespace trainyard::runtime
