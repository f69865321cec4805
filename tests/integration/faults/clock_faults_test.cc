// The wall clock of the whole machine jumps by an hour, forward and back, under running and waiting
// jobs: leases and time limits are of time that passed, so nothing ends, nothing starts twice, and
// a limit that is really over still ends its job.
// By itself: build/release/tests/clock_faults_test
#include "tests/integration/faults/faults_fixture.h"

namespace trainyard::testing {
namespace {

class ClockFaultsTest : public FaultsTest {
 protected:
  void SetUp() override {
    Jump(0);
    const std::vector<std::string> env = {absl::StrCat("LD_PRELOAD=", JUMPING_CLOCK_PATH),
                                          absl::StrCat("TRAINYARD_TEST_CLOCK=", ClockFile())};
    const absl::Status started = cluster_.StartScheduler({{"--lease=2s"}, env, ""});
    ASSERT_TRUE(started.ok()) << started;
    api_ = cluster_.Connect();
    AgentSettings settings;
    settings.env = env;
    const absl::Status ready = cluster_.StartAgent("n1", settings);
    ASSERT_TRUE(ready.ok()) << ready;
  }
  std::string ClockFile() const { return cluster_.Path("clock"); }
  void Jump(int64_t seconds) {
    ASSERT_TRUE(WriteFileAtomically(ClockFile(), absl::StrCat(seconds, "\n")).ok());
  }
  std::string StartLimited(const std::string& name, int64_t seconds) {
    v1::JobSpec spec = BeatSpec(cluster_.Beats(name), {Until(name)}, 2);
    spec.mutable_scheduling()->mutable_timeout()->set_seconds(seconds);
    spec.mutable_scheduling()->mutable_grace()->set_seconds(1);
    const std::string job = Submit(spec);
    EXPECT_TRUE(AwaitBeats(cluster_.Beats(name), 2));
    EXPECT_TRUE(AwaitState(api_.get(), job, {v1::RUNNING}).ok());
    return job;
  }
};

TEST_F(ClockFaultsTest, JumpsByAnHourDisturbNothing) {
  const std::string job = StartLimited("job", 1800);
  v1::JobSpec waiting = SpecOf({"/bin/true"});
  waiting.mutable_worker_pools(0)->mutable_resources()->set_cpu_milli(8000);
  waiting.mutable_scheduling()->mutable_max_wait()->set_seconds(1800);
  const std::string patient = Submit(waiting);
  const std::vector<Beat> before = BeatsOf("job");
  for (int i = 0; i < Times(2); ++i) {
    for (const int64_t seconds : {3600, -3600, 0}) {
      Jump(seconds);
      // Longer than the lease, and than any timer that is not of the job's.
      const int64_t counter = BeatsOf("job")[0].counter;
      absl::SleepFor(absl::Seconds(3));
      EXPECT_GT(BeatsOf("job")[0].counter, counter);
      ExpectUndisturbed("job", before);
      EXPECT_EQ(api_->GetNode("nodes/n1")->state(), v1::READY) << "after " << seconds;
      EXPECT_EQ(api_->Get(patient)->state(), v1::QUEUED) << "after " << seconds;
    }
  }
  LetEnd("job");
  EXPECT_EQ(ExpectEnd(job, v1::SUCCEEDED).attempts_size(), 1);
  EXPECT_EQ(ExpectEnd(patient, v1::SUCCEEDED).attempts_size(), 1);
  ExpectQuiet();
}

TEST_F(ClockFaultsTest, ALimitThatIsOverEndsTheJobThoughTheClockWentBack) {
  const std::string job = StartLimited("job", 3);
  Jump(-3600);
  const v1::Job ended = ExpectEnd(job, v1::FAILED);
  EXPECT_EQ(ended.error().cause(), v1::TIMED_OUT) << ended.ShortDebugString();
  ExpectQuiet();
}

}  // namespace
}  // namespace trainyard::testing
