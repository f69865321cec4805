// Machines that are taken away: a notice comes, what runs there is saved and goes on elsewhere, and
// nothing is charged for it; also when no scheduler is there to say so.
// By itself: build/release/tests/spot_faults_test
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "tests/integration/faults/faults_fixture.h"

namespace trainyard::testing {
namespace {

class SpotFaultsTest : public FaultsTest {
 protected:
  std::string Notice(const std::string& node) { return cluster_.WorkDir(node) + "/leaving"; }
  // A job that saves for `save` when it is told to stop, and may not fail once.
  std::string StartSaving(const std::string& name, int ranks, const std::string& save) {
    v1::JobSpec spec = BeatSpec(cluster_.Beats(name), {Until(name), save}, ranks);
    spec.mutable_scheduling()->set_max_infrastructure_retries(-1);
    spec.mutable_scheduling()->mutable_grace()->set_seconds(20);
    const std::string job = Submit(spec);
    EXPECT_TRUE(AwaitBeats(cluster_.Beats(name), ranks)) << name;
    EXPECT_TRUE(AwaitState(api_.get(), job, {v1::RUNNING}).ok()) << name;
    return job;
  }
  void ExpectSaved(const std::string& name, int ranks) {
    for (int rank = 0; rank < ranks; ++rank) {
      const std::string saved = cluster_.Beats(absl::StrCat(name, ".saved.", rank));
      EXPECT_TRUE(Eventually([&] { return Exists(saved); })) << saved;
    }
  }
  // The first attempt was moved, the second one ran to the end on `node`.
  void ExpectMoved(const std::string& name, const std::string& job, int ranks,
                   const std::string& node) {
    ASSERT_TRUE(AwaitBeats(cluster_.Beats(name), 2 * ranks)) << "no second attempt";
    LetEnd(name);
    const v1::Job ended = ExpectEnd(job, v1::SUCCEEDED);
    ASSERT_EQ(ended.attempts_size(), 2) << ended.ShortDebugString();
    EXPECT_EQ(ended.attempts(0).state(), "PREEMPTED");
    EXPECT_EQ(ended.attempts(0).exit().cause(), v1::PREEMPTED_CAUSE);
    EXPECT_THAT(ended.attempts(1).nodes(), ::testing::ElementsAre(node));
  }
  bool TakesNothing(const std::string& node) {
    return StateOf(node) == v1::DRAINING || StateOf(node) == v1::DRAINED;
  }
  v1::NodeState StateOf(const std::string& node) {
    const auto found = api_->GetNode("nodes/" + node);
    return found.ok() ? found->state() : v1::NODE_STATE_UNSPECIFIED;
  }
};

TEST_F(SpotFaultsTest, ANoticeMovesAGangAndIsWithdrawn) {
  Start({"n1"});
  for (int i = 0; i < Times(1); ++i) {
    const std::string name = absl::StrCat("gang", i);
    const std::string job = StartSaving(name, 2, "save_ms=2000");
    ASSERT_TRUE(cluster_.StartAgent("n2").ok());
    ASSERT_TRUE(WriteFileDurably(Notice("n1"), "30s\n").ok());
    ExpectSaved(name, 2);
    ExpectMoved(name, job, 2, "n2");
    EXPECT_TRUE(TakesNothing("n1")) << StateOf("n1");
    // An agent that is started again knows it too.
    cluster_.agent("n1").Kill();
    cluster_.LaunchAgent("n1", {});
    ASSERT_TRUE(Eventually([&] { return TakesNothing("n1"); })) << StateOf("n1");
    EXPECT_EQ(unlink(Notice("n1").c_str()), 0);
    EXPECT_TRUE(Eventually([&] { return StateOf("n1") == v1::READY; })) << StateOf("n1");
    EXPECT_EQ(cluster_.agent("n2").Stop(), 0);
    ASSERT_TRUE(Eventually([&] { return StateOf("n2") != v1::READY; }));
    ExpectEnd(Submit(BeatSpec(cluster_.Beats(name + "-next"), {"ms=20"})), v1::SUCCEEDED);
    cluster_.agent("n2") = Process();
  }
  ExpectQuiet();
}

TEST_F(SpotFaultsTest, WithoutASchedulerTheAgentSavesWhatRunsThere) {
  Start({"n1"});
  for (int i = 0; i < Times(1); ++i) {
    const std::string name = absl::StrCat("job", i);
    const std::string job = StartSaving(name, 1 + i % 2, "save_ms=500");
    const std::vector<Beat> before = BeatsOf(name);
    cluster_.scheduler().Signal(SIGSTOP);
    cluster_.agent("n1").Signal(SIGPWR);
    ExpectSaved(name, 1 + i % 2);
    for (const Beat& beat : before) {
      EXPECT_TRUE(Eventually([&] { return !IsAlive(beat.pid); })) << "rank " << beat.rank;
    }
    cluster_.scheduler().Signal(SIGCONT);
    ASSERT_TRUE(cluster_.StartAgent("n2").ok());
    ExpectMoved(name, job, 1 + i % 2, "n2");
    ExpectQuiet();
    // The machine comes back: an agent that is started anew has no notice.
    EXPECT_EQ(cluster_.agent("n1").Stop(), 0);
    ASSERT_TRUE(cluster_.StartAgent("n1").ok());
    EXPECT_EQ(cluster_.agent("n2").Stop(), 0);
    ASSERT_TRUE(Eventually([&] { return StateOf("n2") != v1::READY; }));
    cluster_.agent("n2") = Process();
  }
}

TEST_F(SpotFaultsTest, ANoticeFromBeforeTheMachinesStartIsPassedOver) {
  ASSERT_TRUE(MakeFolders(cluster_.WorkDir("n1")).ok());
  ASSERT_TRUE(WriteFileDurably(Notice("n1"), "").ok());
  const timespec long_ago[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, Notice("n1").c_str(), long_ago, 0), 0);
  Start({"n1"});
  EXPECT_EQ(StateOf("n1"), v1::READY);
  ExpectEnd(Submit(BeatSpec(cluster_.Beats("job"), {"ms=20"})), v1::SUCCEEDED);
  ExpectQuiet();
}

}  // namespace
}  // namespace trainyard::testing
