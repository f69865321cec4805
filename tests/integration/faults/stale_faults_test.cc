// What an attempt that was given up still publishes is refused. Its node's agent hangs, or its
// network is cut; the job is started elsewhere; the first attempt's rank ends well all the same and
// leaves a model; then the agent is back and would publish it. 200 such publications, ten times as
// many when TRAINYARD_TEST_LONG=1.
// By itself: build/release/tests/stale_faults_test
#include <algorithm>
#include <functional>

#include "tests/integration/faults/network_fixture.h"

namespace trainyard::testing {
namespace {

constexpr int kJobs = 25;  // at a time
constexpr int kRounds = 4;

// One job that is tried again while its first attempt lives.
struct Doubled {
  std::string name;
  std::string job;
  Beat first;
};

// `Base` starts the scheduler and the node that is lost.
template <class Base>
class StaleTest : public Base {
 protected:
  std::string OwnEnd(const std::string& name) const { return this->cluster_.Path("own-" + name); }
  void LetEpochEnd(const std::string& name, uint64_t epoch) {
    ASSERT_TRUE(WriteFileDurably(absl::StrCat(OwnEnd(name), ".", epoch), "").ok());
  }

  // Starts the jobs of a round, all on the node that will be lost.
  std::vector<Doubled> StartJobs(int round) {
    std::vector<Doubled> all;
    for (int i = 0; i < kJobs; ++i) {
      Doubled one;
      one.name = absl::StrCat("job", round, "x", i);
      one.job = this->Submit(BeatSpec(this->cluster_.Beats(one.name),
                                      {"own=" + OwnEnd(one.name), this->Until(one.name)}));
      all.push_back(one);
    }
    for (Doubled& one : all) {
      EXPECT_TRUE(AwaitBeats(this->cluster_.Beats(one.name), 1)) << one.name;
      EXPECT_TRUE(AwaitState(this->api_.get(), one.job, {v1::RUNNING}).ok()) << one.name;
    }
    return all;
  }
  // Waits until every job is tried elsewhere. On a machine that is busy there may be more attempts.
  void AwaitSecond(std::vector<Doubled>* all) {
    for (Doubled& one : *all) {
      ASSERT_TRUE(Eventually([&] { return this->BeatsOf(one.name).size() >= 2; })) << one.name;
      const std::vector<Beat> both = this->BeatsOf(one.name);
      one.first = both[0];
      ASSERT_LT(one.first.epoch, both[1].epoch);
      ASSERT_TRUE(IsAlive(one.first.pid)) << "the first attempt is to end while it is given up";
    }
  }
  // Every first attempt ends well, unseen.
  void EndFirst(const std::vector<Doubled>& all) {
    for (const Doubled& one : all) LetEpochEnd(one.name, one.first.epoch);
    for (const Doubled& one : all) {
      ASSERT_TRUE(Eventually([&] { return !IsAlive(one.first.pid); })) << one.name;
    }
  }
  // The lost node is back and has told all it had: what is published is of a later attempt.
  void ExpectFirstRefused(const std::vector<Doubled>& all, const std::string& lost) {
    EXPECT_TRUE(Eventually([&] {
      const auto node = this->api_->GetNode(lost);
      return node.ok() && node->state() == v1::READY && node->cpu_milli_used() == 0;
    })) << this->api_->GetNode(lost)->ShortDebugString();
    for (const Doubled& one : all) {
      EXPECT_NE(this->api_->Get(one.job)->state(), v1::SUCCEEDED) << one.name;
      EXPECT_TRUE(this->api_->Outputs(one.job)->empty()) << one.name;
      this->LetEnd(one.name);
    }
    for (const Doubled& one : all) {
      const v1::Job ended = this->ExpectEnd(one.job, v1::SUCCEEDED);
      ASSERT_GE(ended.attempts_size(), 2) << ended.ShortDebugString();
      const uint64_t last = ended.attempts(ended.attempts_size() - 1).epoch();
      EXPECT_GT(last, one.first.epoch);
      EXPECT_NE(ended.attempts(0).state(), "SUCCEEDED");
      const auto outputs = this->api_->Outputs(one.job);
      ASSERT_TRUE(outputs.ok()) << outputs.status();
      EXPECT_FALSE(outputs->empty()) << one.name;
      for (const v1::OutputTree& output : *outputs) {
        EXPECT_EQ(output.epoch(), last) << one.name << ": " << output.kind();
      }
    }
  }

  // Loses node `lost` by `lose`, has the jobs started on node `other`, and takes it back.
  void Play(const std::string& lost, const std::string& other, const AgentSettings& settings,
            const std::function<void()>& lose, const std::function<void()>& find) {
    const int rounds = std::max(ManyTimes(kRounds), 1);
    for (int round = 0; round < rounds; ++round) {
      std::vector<Doubled> all = StartJobs(round);
      lose();
      const absl::Status ready = this->cluster_.StartAgent(other, settings);
      ASSERT_TRUE(ready.ok()) << ready;
      AwaitSecond(&all);
      if (this->HasFatalFailure()) return;
      EndFirst(all);
      find();
      ExpectFirstRefused(all, "nodes/" + lost);
      if (this->HasFatalFailure()) return;
      this->ExpectQuiet();
      EXPECT_EQ(this->cluster_.agent(other).Stop(), 0);
      ASSERT_TRUE(
          Eventually([&] { return this->api_->GetNode("nodes/" + other)->state() != v1::READY; }));
      refused_ += kJobs;
    }
    std::printf("%d attempts that were given up ended well and were refused\n", refused_);
  }

  int refused_ = 0;
};

using StaleHungTest = StaleTest<FaultsTest>;
using StaleCutTest = StaleTest<NetworkTest>;

TEST_F(StaleHungTest, PublicationsOfAHungAgentAreRefused) {
  Start({"n1"}, {"--lease=2s"});
  Play(
      "n1", "n2", {}, [&] { cluster_.agent("n1").Signal(SIGSTOP); },
      [&] { cluster_.agent("n1").Signal(SIGCONT); });
}

TEST_F(StaleCutTest, PublicationsFromBehindAPartitionAreRefused) {
  Play(
      "far", "near", near_,
      [&] {
        Ip({"link", "set", outer_, "down"});
      },
      [&] {
        Ip({"link", "set", outer_, "up"});
      });
}

}  // namespace
}  // namespace trainyard::testing
