// Faults of agents and supervisors while their ranks live: killed, frozen, replaced by another
// binary. Ranks are adopted or ended, never doubled; what an attempt that was given up publishes
// is refused.
// By itself: build/release/tests/worker_faults_test
#include <unistd.h>

#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_split.h"
#include "tests/integration/faults/faults_fixture.h"

namespace trainyard::testing {
namespace {

constexpr char kSupervisor[] = "trainyard-supervisor";

class WorkerFaultsTest : public FaultsTest {
 protected:
  // Folders outside, of what runs on the node.
  std::vector<std::string> ScratchOf(const std::string& node) {
    std::vector<std::string> all;
    const std::string attempts = cluster_.WorkDir(node) + "/attempts";
    const auto names = ListFolder(attempts);
    for (const std::string& name : names.ok() ? *names : std::vector<std::string>()) {
      const auto text = ReadFile(absl::StrCat(attempts, "/", name, "/scratch"));
      if (!text.ok()) continue;
      for (absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
        all.emplace_back(line);
      }
    }
    return all;
  }
  // New files in place of those that may be running, as a package manager does it.
  void InstallPrograms(const std::string& folder) {
    const std::string from = std::string(AGENT_PATH).substr(0, std::string(AGENT_PATH).rfind('/'));
    for (const char* name : {"trainyard-agent", "trainyard-supervisor", "trainyard-rank"}) {
      const std::string path = JoinPath(folder, name);
      const absl::StatusOr<std::string> bytes = ReadFile(JoinPath(from, name));
      ASSERT_TRUE(bytes.ok()) << bytes.status();
      ASSERT_TRUE(WriteFileAtomically(path, *bytes, 0755).ok());
    }
  }
};

TEST_F(WorkerFaultsTest, AgentKilledItsRanksRunOnAndAreAdopted) {
  Start({"n1"});
  const std::string solo = StartBeating("solo", 1);
  const std::string gang = StartBeating("gang", 2);
  const std::vector<Beat> solo_beats = BeatsOf("solo");
  const std::vector<Beat> gang_beats = BeatsOf("gang");
  for (int i = 0; i < Times(5); ++i) {
    cluster_.agent("n1").Kill();
    // One program ends while no agent looks.
    if (i == 0) LetEnd("solo");
    ExpectUndisturbed("gang", gang_beats);
    ASSERT_TRUE(cluster_.StartAgent("n1").ok()) << cluster_.AgentLog("n1");
  }
  EXPECT_EQ(ExpectEnd(solo, v1::SUCCEEDED).attempts_size(), 1);
  ExpectUndisturbed("gang", gang_beats);
  LetEnd("gang");
  EXPECT_EQ(ExpectEnd(gang, v1::SUCCEEDED).attempts_size(), 1);
  EXPECT_EQ(BeatsOf("solo").size(), solo_beats.size());
  ExpectQuiet();
}

// The programs are replaced under an agent that was stopped in an orderly way; the supervisor of
// before goes on from its old file, and the next job starts from the new ones.
TEST_F(WorkerFaultsTest, AgentUpgradeLeavesARunningGangAlone) {
  const std::string bin = cluster_.Path("bin");
  ASSERT_TRUE(MakeFolders(bin).ok());
  InstallPrograms(bin);
  AgentSettings settings;
  settings.binary = bin + "/trainyard-agent";
  Start({"n1"}, {}, settings);
  const std::string gang = StartBeating("gang", 3);
  const std::vector<Beat> before = BeatsOf("gang");
  for (int i = 0; i < Times(2); ++i) {
    EXPECT_EQ(cluster_.agent("n1").Stop(), 0);
    InstallPrograms(bin);
    ASSERT_TRUE(cluster_.StartAgent("n1", settings).ok()) << cluster_.AgentLog("n1");
    ExpectUndisturbed("gang", before);
    ExpectEnd(Submit(BeatSpec(cluster_.Beats(absl::StrCat("next", i)), {"ms=20"}, 2)),
              v1::SUCCEEDED);
  }
  LetEnd("gang");
  EXPECT_EQ(ExpectEnd(gang, v1::SUCCEEDED).attempts_size(), 1);
  ExpectQuiet();
}

// The node is given up after its lease; its ranks, still alive, are fenced off by their epoch.
TEST_F(WorkerFaultsTest, FrozenAgentIsReplacedAndItsLateWordsAreRefused) {
  Start({"n1"}, {"--lease=2s"});
  for (int i = 0; i < Times(2); ++i) {
    const std::string name = absl::StrCat("job", i);
    const std::string job = StartBeating(name, 1);
    cluster_.agent("n1").Signal(SIGSTOP);
    ASSERT_TRUE(cluster_.StartAgent("n2").ok());
    // A second attempt runs on the other node while the first one's rank lives.
    ASSERT_TRUE(Eventually([&] { return BeatsOf(name).size() == 2; })) << "no second attempt";
    const std::vector<Beat> both = BeatsOf(name);
    EXPECT_LT(both[0].epoch, both[1].epoch);
    cluster_.agent("n1").Signal(SIGCONT);
    EXPECT_TRUE(Eventually([&] { return !IsAlive(both[0].pid); })) << "the old rank was not ended";
    EXPECT_TRUE(IsAlive(both[1].pid)) << "the new one was";
    LetEnd(name);
    const v1::Job ended = ExpectEnd(job, v1::SUCCEEDED);
    ASSERT_EQ(ended.attempts_size(), 2) << ended.ShortDebugString();
    EXPECT_EQ(ended.attempts(1).epoch(), both[1].epoch);
    EXPECT_NE(ended.attempts(0).state(), "SUCCEEDED");
    ExpectQuiet();
    EXPECT_EQ(cluster_.agent("n2").Stop(), 0);
    cluster_.agent("n2") = Process();
    ASSERT_TRUE(Eventually([&] { return api_->GetNode("nodes/n1")->state() == v1::READY; }));
    ASSERT_TRUE(Eventually([&] { return api_->GetNode("nodes/n2")->state() != v1::READY; }));
  }
}

TEST_F(WorkerFaultsTest, SupervisorKilledItsRanksGoAndTheJobIsRepeated) {
  Start({"n1"});
  for (int i = 0; i < Times(2); ++i) {
    const int ranks = 1 + i % 2;  // alone, then under mpirun
    const std::string name = absl::StrCat("job", i);
    const std::string job = StartBeating(name, ranks);
    const std::vector<Beat> before = BeatsOf(name);
    std::vector<pid_t> supervisors;  // the one before may be at its very end
    ASSERT_TRUE(Eventually([&] {
      supervisors = PidsOf(cluster_.folder(), kSupervisor);
      return supervisors.size() == 1;
    }));
    const std::vector<std::string> scratch = ScratchOf("n1");
    EXPECT_EQ(scratch.empty(), ranks == 1) << "mpirun's sockets lie in a folder";
    for (const std::string& path : scratch) EXPECT_TRUE(Exists(path)) << path;
    kill(supervisors[0], SIGKILL);
    for (const Beat& beat : before) {
      EXPECT_TRUE(Eventually([&] { return !IsAlive(beat.pid); })) << "rank " << beat.rank;
    }
    ASSERT_TRUE(AwaitBeats(cluster_.Beats(name), 2 * ranks)) << "no second attempt";
    LetEnd(name);
    const v1::Job ended = ExpectEnd(job, v1::SUCCEEDED);
    ASSERT_EQ(ended.attempts_size(), 2) << ended.ShortDebugString();
    EXPECT_EQ(ended.attempts(0).exit().cause(), v1::INTERNAL);
    EXPECT_EQ(ended.attempts(0).exit().node(), "n1");
    ExpectQuiet();
    for (const std::string& path : scratch) {
      EXPECT_TRUE(Eventually([&] { return !Exists(path); })) << path << " was left behind";
    }
  }
}

// One that stands still is found although nothing of it has ended: its ranks go, the job is
// repeated.
TEST_F(WorkerFaultsTest, FrozenSupervisorIsFoundAndTheJobIsRepeated) {
  AgentSettings impatient;
  impatient.flags = {"--supervisor_patience=2s"};
  Start({"n1"}, {}, impatient);
  for (int i = 0; i < Times(1); ++i) {
    const std::string name = absl::StrCat("job", i);
    const std::string job = StartBeating(name, 2);
    const std::vector<Beat> before = BeatsOf(name);
    for (const pid_t pid : PidsOf(cluster_.folder(), kSupervisor)) kill(pid, SIGSTOP);
    for (const Beat& beat : before) {
      EXPECT_TRUE(Eventually([&] { return !IsAlive(beat.pid); })) << "rank " << beat.rank;
    }
    ASSERT_TRUE(AwaitBeats(cluster_.Beats(name), 4)) << "no second attempt";
    LetEnd(name);
    const v1::Job ended = ExpectEnd(job, v1::SUCCEEDED);
    ASSERT_EQ(ended.attempts_size(), 2) << ended.ShortDebugString();
    EXPECT_EQ(ended.attempts(0).exit().cause(), v1::INTERNAL);
    EXPECT_NE(ended.attempts(0).exit().message().find("hung"), std::string::npos);
    ExpectQuiet();
  }
}

TEST_F(WorkerFaultsTest, AgentAndSupervisorKilledTogetherLeaveNothing) {
  Start({"n1"});
  for (int i = 0; i < Times(2); ++i) {
    const int ranks = 2 - i % 2;
    const std::string name = absl::StrCat("job", i);
    const std::string job = StartBeating(name, ranks);
    const std::vector<Beat> before = BeatsOf(name);
    cluster_.agent("n1").Kill();
    for (const pid_t pid : PidsOf(cluster_.folder(), kSupervisor)) kill(pid, SIGKILL);
    ASSERT_TRUE(cluster_.StartAgent("n1").ok()) << cluster_.AgentLog("n1");
    for (const Beat& beat : before) {
      EXPECT_TRUE(Eventually([&] { return !IsAlive(beat.pid); })) << "rank " << beat.rank;
    }
    LetEnd(name);
    EXPECT_EQ(ExpectEnd(job, v1::SUCCEEDED).attempts_size(), 2);
    ExpectQuiet();
  }
}

// Nobody answers the agent there: it ends supervisor and ranks itself once the grace is over.
TEST_F(WorkerFaultsTest, FrozenSupervisorDoesNotHoldUpACancel) {
  Start({"n1"});
  for (int i = 0; i < Times(1); ++i) {
    const std::string name = absl::StrCat("job", i);
    v1::JobSpec spec = BeatSpec(cluster_.Beats(name), {Until(name)}, 2);
    spec.mutable_scheduling()->mutable_grace()->set_seconds(1);
    const std::string job = Submit(spec);
    ASSERT_TRUE(AwaitBeats(cluster_.Beats(name), 2));
    for (const pid_t pid : PidsOf(cluster_.folder(), kSupervisor)) kill(pid, SIGSTOP);
    ASSERT_TRUE(api_->Cancel(job).ok());
    ExpectEnd(job, v1::CANCELLED);
    ExpectQuiet();
    EXPECT_EQ(api_->GetNode("nodes/n1")->state(), v1::READY) << "the agent kept its lease";
  }
}

// All members prepare or none starts: the one that never answers rolls the others back.
TEST_F(WorkerFaultsTest, OneReadyOfAGangOfThreeLost) {
  AgentSettings small;
  small.cores = 2;
  Start({"n1", "n2", "n3"}, {"--lease=2s"}, small);
  for (int i = 0; i < Times(1); ++i) {
    const std::string name = absl::StrCat("job", i);
    v1::JobSpec spec = BeatSpec(cluster_.Beats(name), {Until(name)}, 3);
    for (v1::WorkerPool& pool : *spec.mutable_worker_pools()) {
      pool.mutable_resources()->set_cpu_milli(1500);  // one to a node
    }
    spec.mutable_launch()->set_launcher(v1::DIRECT);
    cluster_.agent("n3").Signal(SIGSTOP);
    const std::string job = Submit(spec);
    // The others were prepared, and are let go without having started.
    ASSERT_TRUE(Eventually([&] {
      const auto now = api_->Get(job);
      return now.ok() && now->attempts_size() > 0 && now->attempts(0).has_end_time();
    })) << api_->Get(job)->ShortDebugString();
    EXPECT_TRUE(BeatsOf(name).empty()) << "a part of the gang was started";
    cluster_.agent("n3").Signal(SIGCONT);
    ASSERT_TRUE(AwaitBeats(cluster_.Beats(name), 3)) << api_->Get(job)->ShortDebugString();
    const std::vector<Beat> beats = BeatsOf(name);
    ASSERT_EQ(beats.size(), 3u);
    EXPECT_EQ(beats[0].epoch, beats[1].epoch);
    EXPECT_EQ(beats[1].epoch, beats[2].epoch);
    LetEnd(name);
    EXPECT_EQ(ExpectEnd(job, v1::SUCCEEDED).attempts_size(), 2);
    ExpectQuiet();
  }
}

// Where an agent dies: a point, at its pass of that number.
struct Death {
  const char* point;
  int pass;
};

class DyingAgentTest : public WorkerFaultsTest {
 protected:
  // Starts the agent anew, to die there.
  void LaunchDying(const std::string& node, const Death& death, AgentSettings settings = {}) {
    settings.env = {absl::StrCat("TRAINYARD_FAULTS=", death.point, "=exit@", death.pass)};
    cluster_.LaunchAgent(node, settings);
  }
  void ExpectDeath(const std::string& node) {
    EXPECT_EQ(cluster_.agent(node).Await(), 128 + SIGKILL);
  }
  // No epoch of the job was started twice.
  void ExpectEachEpochOnce(const std::string& name) {
    std::set<std::pair<uint64_t, int>> started;
    for (const Beat& beat : BeatsOf(name)) {
      EXPECT_TRUE(started.insert({beat.epoch, beat.rank}).second)
          << "rank " << beat.rank << " of epoch " << beat.epoch << " was started twice";
    }
  }
};

TEST_F(DyingAgentTest, KilledAtEveryFaultPointItStartsNothingTwice) {
  const Death deaths[] = {{"agent.before_store_incarnation", 1},
                          {"agent.before_send", 1},
                          {"agent.before_send", 2},
                          {"agent.before_send", 3},
                          {"agent.before_send", 4},
                          {"agent.before_stage", 1},
                          {"agent.before_launch", 1},
                          {"agent.after_launch", 1},
                          {"agent.before_store_fact", 1},
                          {"agent.before_store_fact", 2},
                          {"agent.after_store_fact", 1},
                          {"agent.after_store_fact", 2},
                          {"agent.before_publish", 1},
                          {"agent.after_publish", 1},
                          {"agent.after_mark_reported", 1},
                          {"agent.before_drop_facts", 1},
                          {"agent.before_clean", 1},
                          {"agent.after_clean", 1}};
  Start({"n1"});
  for (int i = 0; i < Times(1); ++i) {
    for (const Death& death : deaths) {
      SCOPED_TRACE(absl::StrCat(death.point, "@", death.pass));
      EXPECT_EQ(cluster_.agent("n1").Stop(), 0);
      // A new incarnation each time, for the agent that is to store it.
      RestartScheduler();
      const std::string name = absl::StrCat(death.point, ".", death.pass, ".", i);
      const int ranks = 1 + i % 2;
      LaunchDying("n1", death);
      const std::string job = Submit(BeatSpec(cluster_.Beats(name), {"ms=20"}, ranks));
      ExpectDeath("n1");
      ASSERT_TRUE(cluster_.StartAgent("n1").ok()) << cluster_.AgentLog("n1");
      EXPECT_LE(ExpectEnd(job, v1::SUCCEEDED).attempts_size(), 2);
      ExpectEachEpochOnce(name);
      ExpectQuiet();
    }
  }
}

TEST_F(DyingAgentTest, KilledBeforeItPassesAStopOnItStopsAfterwards) {
  Start({"n1"});
  for (int i = 0; i < Times(1); ++i) {
    EXPECT_EQ(cluster_.agent("n1").Stop(), 0);
    const std::string name = absl::StrCat("job", i);
    LaunchDying("n1", {"agent.before_stop", 1});
    const std::string job = StartBeating(name, 1 + i % 2);
    ASSERT_TRUE(api_->Cancel(job).ok());
    ExpectDeath("n1");
    ASSERT_TRUE(cluster_.StartAgent("n1").ok()) << cluster_.AgentLog("n1");
    EXPECT_EQ(ExpectEnd(job, v1::CANCELLED).attempts_size(), 1);
    ExpectEachEpochOnce(name);
    ExpectQuiet();
  }
}

// The end of a failed program is marked as told, and the log that had it is gone: it is told again
// as what it was.
TEST_F(DyingAgentTest, AFailureWhoseFactIsLostStaysAFailure) {
  Start({"n1"});
  for (int i = 0; i < Times(1); ++i) {
    EXPECT_EQ(cluster_.agent("n1").Stop(), 0);
    LaunchDying("n1", {"agent.after_mark_reported", 1});
    v1::JobSpec spec = SpecOf({"/bin/sh", "-c", "echo no such column >&2; exit 3"});
    spec.mutable_scheduling()->set_max_retries(0);
    const std::string job = Submit(spec);
    ExpectDeath("n1");
    const std::string log = cluster_.WorkDir("n1") + "/facts/facts.log";
    ASSERT_EQ(truncate(log.c_str(), 0), 0);
    ASSERT_TRUE(cluster_.StartAgent("n1").ok()) << cluster_.AgentLog("n1");
    const v1::Job ended = ExpectEnd(job, v1::FAILED);
    EXPECT_EQ(ended.error().cause(), v1::USER_ERROR) << ended.ShortDebugString();
    EXPECT_EQ(ended.error().exit_code(), 3);
    ExpectQuiet();
  }
}

// The word of one of three that it is ready is lost with its agent: before it is stored, before it
// is sent, and behind that. It is said again, and the gang starts whole, once.
TEST_F(DyingAgentTest, ReadyOfOneOfThreeIsLostWithItsAgent) {
  AgentSettings small;
  small.cores = 2;
  Start({"n1", "n2", "n3"}, {}, small);
  const Death deaths[] = {{"agent.before_store_fact", 1},
                          {"agent.after_store_fact", 1},
                          {"agent.before_send", 2},
                          {"agent.before_send", 3},
                          {"agent.before_send", 4}};
  for (int i = 0; i < Times(1); ++i) {
    for (const Death& death : deaths) {
      SCOPED_TRACE(absl::StrCat(death.point, "@", death.pass));
      const std::string name = absl::StrCat(death.point, ".", death.pass, ".", i);
      EXPECT_EQ(cluster_.agent("n3").Stop(), 0);
      LaunchDying("n3", death, small);
      v1::JobSpec spec = BeatSpec(cluster_.Beats(name), {Until(name)}, 3);
      for (v1::WorkerPool& pool : *spec.mutable_worker_pools()) {
        pool.mutable_resources()->set_cpu_milli(1500);  // one to a node
      }
      spec.mutable_launch()->set_launcher(v1::DIRECT);
      const std::string job = Submit(spec);
      ExpectDeath("n3");
      ASSERT_TRUE(cluster_.StartAgent("n3", small).ok()) << cluster_.AgentLog("n3");
      ASSERT_TRUE(AwaitBeats(cluster_.Beats(name), 3)) << api_->Get(job)->ShortDebugString();
      // All were ready, and the agent died before it started its rank: then others had begun.
      EXPECT_TRUE(Eventually([&] {
        std::map<uint64_t, int> ranks;
        for (const Beat& beat : BeatsOf(name)) ++ranks[beat.epoch];
        return ranks.rbegin()->second == 3;
      })) << "no whole gang was started";
      ExpectEachEpochOnce(name);
      LetEnd(name);
      EXPECT_LE(ExpectEnd(job, v1::SUCCEEDED).attempts_size(), 2);
      ExpectQuiet();
    }
  }
}

}  // namespace
}  // namespace trainyard::testing
