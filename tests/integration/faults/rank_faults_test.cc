// Faults of the programs themselves: killed, failing, frozen, out of memory, unable to import. The
// job names the first failing rank, its node, the cause and its last words; the rest of the gang
// goes, nothing is left and the cores are free. Cancels at every moment of a launch, a save during
// the grace, and a job that fails again and again among good ones.
// By itself: build/release/tests/rank_faults_test
#include <sys/stat.h>

#include <fstream>
#include <random>

#include "common/random.h"
#include "tests/integration/faults/faults_fixture.h"

namespace trainyard::testing {
namespace {

using ::testing::HasSubstr;

class RankFaultsTest : public FaultsTest {
 protected:
  RankFaultsTest() : random_(Seed()) {}
  static uint64_t Seed() {
    const uint64_t seed = std::random_device{}();
    std::printf("seed %lu\n", seed);
    return seed;
  }
  // The job failed, for this cause, at this rank (-1: any).
  v1::ExitRecord ExpectFailure(const std::string& job, v1::ExitCause cause, int rank) {
    const v1::Job ended = ExpectEnd(job, v1::FAILED);
    const v1::ExitRecord& error = ended.error();
    EXPECT_EQ(v1::ExitCause_Name(error.cause()), v1::ExitCause_Name(cause))
        << error.ShortDebugString();
    EXPECT_TRUE(rank < 0 || error.rank() == rank) << error.ShortDebugString();
    EXPECT_EQ(error.node(), "n1");
    EXPECT_NE(error.message(), "");
    return error;
  }

  Random random_;
};

TEST_F(RankFaultsTest, KilledRankIsNamedAndItsGangGoes) {
  Start({"n1"});
  for (int i = 0; i < Times(5); ++i) {
    const std::string name = absl::StrCat("job", i);
    const std::string job = StartBeating(name, 3);
    const std::vector<Beat> beats = BeatsOf(name);
    const Beat& victim = beats[random_.Below(beats.size())];
    kill(victim.pid, SIGKILL);
    const absl::Time killed = absl::Now();
    const v1::ExitRecord error = ExpectFailure(job, v1::USER_ERROR, victim.rank);
    const absl::Duration stopped = absl::Now() - killed;
    std::printf("rank %d killed, job failed after %s\n", victim.rank,
                absl::FormatDuration(stopped).c_str());
    EXPECT_LT(stopped, absl::Seconds(10));
    EXPECT_EQ(error.signal(), SIGKILL);
    EXPECT_THAT(error.message(), HasSubstr(absl::StrCat("Rank ", victim.rank, " was killed")));
    ExpectQuiet();
  }
}

TEST_F(RankFaultsTest, FailingRankIsNamedWithItsLastWords) {
  Start({"n1"});
  for (int i = 0; i < Times(4); ++i) {
    const int rank = static_cast<int>(random_.Below(3));
    const std::string name = absl::StrCat("job", i);
    const std::string job =
        Submit(BeatSpec(cluster_.Beats(name), {Until(name), absl::StrCat("fail_rank=", rank)}, 3));
    const v1::ExitRecord error = ExpectFailure(job, v1::USER_ERROR, rank);
    EXPECT_EQ(error.exit_code(), 3);
    EXPECT_THAT(error.stderr_tail(), HasSubstr("the sum is wrong"));
    EXPECT_THAT(error.message(), HasSubstr("the sum is wrong"));
    ExpectQuiet();
  }
}

TEST_F(RankFaultsTest, FailedImportNamesTheModule) {
  Start({"n1"});
  for (int i = 0; i < Times(2); ++i) {
    const std::string job =
        Submit(SpecOf({"python3", "-c", "import no_such_module_of_mine"}, 1 + i % 2));
    const v1::ExitRecord error = ExpectFailure(job, v1::USER_ERROR, -1);
    EXPECT_THAT(error.message(), HasSubstr("no_such_module_of_mine"));
    EXPECT_THAT(error.message(), HasSubstr("--packages")) << "how to mend it";
    EXPECT_THAT(error.stderr_tail(), HasSubstr("ModuleNotFoundError"));
    ExpectQuiet();
  }
}

TEST_F(RankFaultsTest, RefusedMemoryIsOutOfMemory) {
  Start({"n1"});
  for (int i = 0; i < Times(2); ++i) {
    const std::string job =
        Submit(SpecOf({"python3", "-c",
                       "import resource\n"
                       "resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))\n"
                       "x = bytearray(1 << 30)"}));
    ExpectFailure(job, v1::OOM_HOST, 0);
    ExpectQuiet();
  }
}

// The kernel's own verdict, in a memory cgroup of 64 MiB.
TEST_F(RankFaultsTest, RankKilledByTheKernelForMemoryIsOutOfMemory) {
  const std::string group = absl::StrCat("/sys/fs/cgroup/memory/trainyard-test-", getpid());
  if (mkdir(group.c_str(), 0700) != 0) {
    GTEST_SKIP() << "no memory cgroup can be made here: " << std::strerror(errno);
  }
  std::ofstream(group + "/memory.limit_in_bytes") << (64 << 20);
  Start({"n1"});
  for (int i = 0; i < Times(2); ++i) {
    const std::string job = Submit(
        SpecOf({"python3", "-c",
                absl::StrCat("open('", group, "/cgroup.procs', 'w').write('0')\n",
                             "x = bytearray(1 << 28)\n", "x[::4096] = b'1' * len(x[::4096])")}));
    const v1::ExitRecord error = ExpectFailure(job, v1::OOM_HOST, 0);
    EXPECT_EQ(error.signal(), SIGKILL);
    EXPECT_THAT(error.message(), HasSubstr("memory"));
    ExpectQuiet();
  }
  EXPECT_TRUE(Eventually([&] { return rmdir(group.c_str()) == 0; }));
}

// Not the rank itself, but a process that it started; the rank then fails by itself.
TEST_F(RankFaultsTest, RankThatLostAProcessToTheKernelIsOutOfMemory) {
  const std::string group = absl::StrCat("/sys/fs/cgroup/memory/trainyard-below-", getpid());
  if (mkdir(group.c_str(), 0700) != 0) {
    GTEST_SKIP() << "no memory cgroup can be made here: " << std::strerror(errno);
  }
  std::ofstream(group + "/memory.limit_in_bytes") << (64 << 20);
  Start({"n1"});
  const std::string greedy = absl::StrCat(
      "import time; time.sleep(2.5); open('", group, "/cgroup.procs', 'w').write('0'); ",
      "x = bytearray(1 << 28); x[::4096] = b'1' * len(x[::4096])");
  for (int i = 0; i < Times(2); ++i) {
    const std::string job =
        Submit(SpecOf({"python3", "-c",
                       "import subprocess, sys\n"
                       "subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)\n",
                       greedy},
                      1 + i % 2));
    const v1::ExitRecord error = ExpectFailure(job, v1::OOM_HOST, -1);
    EXPECT_EQ(error.exit_code(), 1);
    EXPECT_THAT(error.message(), HasSubstr("memory"));
    EXPECT_THAT(error.stderr_tail(), HasSubstr("CalledProcessError"));
    ExpectQuiet();
  }
  // A child that somebody else killed is the program's own affair.
  const std::string job =
      Submit(SpecOf({"python3", "-c",
                     "import subprocess\n"
                     "subprocess.run(['sh', '-c', 'sleep 2; kill -9 $$'], check=True)\n"}));
  ExpectFailure(job, v1::USER_ERROR, 0);
  ExpectQuiet();
  EXPECT_TRUE(Eventually([&] { return rmdir(group.c_str()) == 0; }));
}

// With a limit set in its environment a rank that stands still is found without anybody's help,
// whatever it is written in.
TEST_F(RankFaultsTest, FrozenRankIsNamedWhereAHangLimitIsSet) {
  Start({"n1"});
  for (int i = 0; i < Times(2); ++i) {
    const std::string name = absl::StrCat("job", i);
    v1::JobSpec spec = BeatSpec(cluster_.Beats(name), {Until(name)}, 3);
    (*spec.mutable_program()->mutable_env())["TRAINYARD_HANG_TIMEOUT"] = "1";
    spec.mutable_scheduling()->set_max_infrastructure_retries(-1);
    const std::string job = Submit(spec);
    ASSERT_TRUE(AwaitBeats(cluster_.Beats(name), 3));
    const std::vector<Beat> beats = BeatsOf(name);
    const Beat& victim = beats[random_.Below(beats.size())];
    kill(victim.pid, SIGSTOP);
    const v1::ExitRecord error = ExpectFailure(job, v1::HANG, victim.rank);
    EXPECT_THAT(error.message(), HasSubstr(absl::StrCat("process ", victim.pid, " on node n1")));
    EXPECT_THAT(error.message(), HasSubstr("is stopped by a signal"));
    ExpectQuiet();
  }
}

// A rank that stands still answers no signal: its time limit and a cancel end it all the same.
TEST_F(RankFaultsTest, FrozenRankIsEndedByItsTimeLimitAndByCancel) {
  Start({"n1"});
  for (int i = 0; i < Times(2); ++i) {
    const std::string name = absl::StrCat("job", i);
    const bool by_limit = i % 2 == 0;
    v1::JobSpec spec = BeatSpec(cluster_.Beats(name), {Until(name)}, 2);
    spec.mutable_scheduling()->mutable_grace()->set_seconds(1);
    if (by_limit) spec.mutable_scheduling()->mutable_timeout()->set_seconds(4);
    const std::string job = Submit(spec);
    ASSERT_TRUE(AwaitBeats(cluster_.Beats(name), 2));
    kill(BeatsOf(name)[1].pid, SIGSTOP);
    if (by_limit) {
      ExpectFailure(job, v1::TIMED_OUT, -1);
    } else {
      ASSERT_TRUE(api_->Cancel(job).ok());
      ExpectEnd(job, v1::CANCELLED);
    }
    ExpectQuiet();
  }
}

TEST_F(RankFaultsTest, TenSecondSaveDuringTheGraceUnderMpirun) {
  Start({"n1"});
  for (int i = 0; i < Times(1); ++i) {
    const std::string name = absl::StrCat("job", i);
    v1::JobSpec spec = BeatSpec(cluster_.Beats(name), {Until(name), "save_ms=10000"}, 2);
    spec.mutable_scheduling()->mutable_grace()->set_seconds(60);
    const std::string job = Submit(spec);
    ASSERT_TRUE(AwaitBeats(cluster_.Beats(name), 2));
    ASSERT_TRUE(api_->Cancel(job).ok());
    ExpectEnd(job, v1::CANCELLED);
    EXPECT_TRUE(Exists(cluster_.Beats(name + ".saved.0")));
    EXPECT_TRUE(Exists(cluster_.Beats(name + ".saved.1")));
    ExpectQuiet();
  }
}

TEST_F(RankFaultsTest, CancelAtEveryMomentOfALaunch) {
  Start({"n1"});
  std::vector<std::string> jobs;
  const int count = Times(30);
  for (int i = 0; i < count; ++i) {
    v1::JobSpec spec =
        BeatSpec(cluster_.Beats(absl::StrCat("job", i)), {Until("never")}, 1 + i % 2);
    spec.mutable_scheduling()->mutable_grace()->set_seconds(2);
    jobs.push_back(Submit(spec));
    // What varies is the moment: from before placement to well after the start.
    absl::SleepFor(absl::Milliseconds(200) * i / count);
    ASSERT_TRUE(api_->Cancel(jobs.back()).ok());
  }
  for (const std::string& job : jobs) {
    const v1::Job ended = ExpectEnd(job, v1::CANCELLED);
    EXPECT_LE(ended.attempts_size(), 1);
  }
  ExpectQuiet();
}

// The agent stands still at each of its steps while the cancel is on its way to it.
TEST_F(RankFaultsTest, CancelWhileALaunchStandsStillAtEachStep) {
  Start({});
  const char* const points[] = {"agent.before_launch", "agent.after_launch", "agent.before_publish",
                                "agent.after_publish"};
  for (int i = 0; i < Times(1) * 4; ++i) {
    const bool launches = i % 4 < 2;
    AgentSettings slow;
    slow.env = {absl::StrCat("TRAINYARD_FAULTS=", points[i % 4], "=stall:1500@1")};
    ASSERT_TRUE(cluster_.StartAgent("n1", slow).ok());
    const std::string name = absl::StrCat("still", i);
    v1::JobSpec spec =
        BeatSpec(cluster_.Beats(name), {launches ? Until("never") : "ms=20"}, 1 + i / 4 % 2);
    spec.mutable_scheduling()->mutable_grace()->set_seconds(2);
    const std::string job = Submit(spec);
    ASSERT_TRUE(Eventually([&] {
      const auto now = api_->Get(job);
      return now.ok() && now->attempts_size() > 0;
    }));
    if (i % 4 > 0) {
      ASSERT_TRUE(AwaitBeats(cluster_.Beats(name), 1 + i / 4 % 2));
    }
    absl::SleepFor(absl::Milliseconds(launches ? 300 : 700));  // into the pause
    ASSERT_TRUE(api_->Cancel(job).ok());
    const auto ended = AwaitEnd(api_.get(), job);
    ASSERT_TRUE(ended.ok()) << points[i % 4] << ": " << ended.status();
    // A program that had ended well by itself may have been published first.
    EXPECT_TRUE(ended->state() == v1::CANCELLED || (!launches && ended->state() == v1::SUCCEEDED))
        << points[i % 4] << ": " << ended->ShortDebugString();
    EXPECT_EQ(ended->attempts_size(), 1) << points[i % 4];
    ExpectQuiet();
    EXPECT_EQ(cluster_.agent("n1").Stop(), 0);
    cluster_.agent("n1") = Process();
  }
}

TEST_F(RankFaultsTest, CrashLoopAmongGoodJobs) {
  Start({"n1"});
  v1::JobSpec bad = SpecOf({"python3", "-c", "raise SystemExit('it is broken')"});
  bad.mutable_scheduling()->set_max_retries(2);
  std::vector<std::string> good;
  std::vector<std::string> poison;
  for (int i = 0; i < Times(10); ++i) {
    if (i % 5 == 0) poison.push_back(Submit(bad));
    const std::string name = absl::StrCat("good", i);
    good.push_back(Submit(BeatSpec(cluster_.Beats(name), {"ms=50"})));
  }
  for (const std::string& job : good) {
    EXPECT_EQ(ExpectEnd(job, v1::SUCCEEDED).attempts_size(), 1);
  }
  for (const std::string& job : poison) {
    const auto ended = AwaitEnd(api_.get(), job, absl::Minutes(2));
    ASSERT_TRUE(ended.ok()) << ended.status();
    EXPECT_EQ(ended->state(), v1::FAILED);
    EXPECT_EQ(ended->attempts_size(), 3) << ended->ShortDebugString();
    EXPECT_THAT(ended->error().message(), HasSubstr("it is broken"));
  }
  EXPECT_EQ(api_->GetNode("nodes/n1")->state(), v1::READY);
  ExpectQuiet();
}

}  // namespace
}  // namespace trainyard::testing
