// Faults of the scheduler and of its disk: killed at every fault point, syncs that fail, a disk
// that is full, flipped bits, an old backup put in place, and its absence under runs that may and
// may not go on without it.
// By itself: build/release/tests/scheduler_faults_test
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <random>

#include "absl/strings/match.h"
#include "common/errors.h"
#include "common/random.h"
#include "tests/integration/faults/faults_fixture.h"

namespace trainyard::testing {
namespace {

using ::testing::HasSubstr;

v1::JobSpec Waiting(const std::string& name) {
  v1::JobSpec spec = SpecOf({"/bin/true"});
  spec.set_display_name(name);
  spec.mutable_worker_pools(0)->mutable_resources()->set_gpu_count(1);
  return spec;
}

class SchedulerFaultsTest : public FaultsTest {
 protected:
  // Submits `count` jobs with their number as request id and name; stops at the first failure.
  void SubmitSome(int count) {
    for (int i = 0; i < count; ++i) {
      const std::string id = absl::StrCat("wish", next_);
      const auto job = api_->Submit(Waiting(id), id);
      if (!job.ok()) return;
      ++next_;
      told_[id] = job->name();
    }
  }
  // Everything acknowledged is there once.
  std::string Compare() {
    const auto jobs = api_->List();
    if (!jobs.ok()) return jobs.status().ToString();
    std::map<std::string, std::string> found;
    for (const v1::Job& job : *jobs) {
      const std::string& id = job.spec().display_name();
      // What was not acknowledged may be there or not.
      if (!found.emplace(id, job.name()).second && told_.count(id) > 0) {
        return job.spec().display_name() + " is there twice";
      }
    }
    for (const auto& [id, name] : told_) {
      if (found[id] != name) return absl::StrCat(id, " is ", found[id], " instead of ", name);
    }
    return "";
  }
  int Copy(const std::string& from, const std::string& to) {
    return RunToEnd({{"cp", "-a", from, to}, {}, "", "", ""});
  }

  // Starts from the state in `from` with one bit of `file` flipped. True when that was refused;
  // else everything acknowledged is there, and the first `cancelled` jobs are cancelled.
  bool Flip(const std::string& from, const std::string& file, int cancelled) {
    EXPECT_TRUE(RemoveTree(cluster_.State()).ok());
    EXPECT_EQ(Copy(from, cluster_.State()), 0);
    const std::string path = absl::StrCat(cluster_.State(), "/scheduler/", file);
    std::string bytes = ReadFile(path).value();
    const size_t at = random_.Below(bytes.size());
    const std::string where = absl::StrCat("byte ", at, " of ", path);
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << random_.Below(8)));
    EXPECT_TRUE(WriteFileAtomically(path, bytes, 0600).ok());
    cluster_.LaunchScheduler({});
    if (!cluster_.AwaitServing()) {
      EXPECT_LT(cluster_.scheduler().Await(), 128) << "it crashed on " << where;
      return true;
    }
    api_ = cluster_.Connect();
    EXPECT_EQ(Compare(), "") << where;
    for (int i = 0; i < cancelled; ++i) {
      const auto job = api_->Get(told_[absl::StrCat("wish", i)]);
      EXPECT_TRUE(job.ok() && job->state() == v1::CANCELLED) << where << ": " << job.status();
    }
    cluster_.scheduler().Kill();
    return false;
  }

  // Gives the scheduler work until it has met its end at a fault point; what it ended with, as a
  // shell would say it. Programs that were accepted on the way are added to `programs`.
  int WorkUntilItDies(const std::string& name, std::vector<std::string>* programs) {
    const absl::Time limit = absl::Now() + absl::Seconds(60);
    for (int i = 0; absl::Now() < limit && !cluster_.scheduler().Ended().has_value(); ++i) {
      if (!cluster_.AwaitServing()) break;  // it died while it started
      api_ = cluster_.Connect();
      SubmitSome(20);
      // The store is passed by what a program leaves and by what it prints.
      const std::string brief = absl::StrCat(name, ".", i);
      const auto job = api_->Submit(BeatSpec(cluster_.Beats(brief), {"ms=20"}), brief);
      if (job.ok()) programs->push_back(job->name());
      const auto words = api_->Submit(SpecOf({"/bin/echo", brief}), absl::StrCat("words", brief));
      if (words.ok()) programs->push_back(words->name());
      SubmitSome(20);
      // Rows are written when there was a quiet moment.
      Within(absl::Seconds(1), [this] { return cluster_.scheduler().Ended().has_value(); });
    }
    return cluster_.scheduler().Await(absl::Seconds(5));
  }

  static uint64_t Seed() {
    const uint64_t seed = std::random_device{}();
    std::printf("seed %lu\n", seed);
    return seed;
  }

  Random random_{Seed()};
  int next_ = 0;
  std::map<std::string, std::string> told_;
};

TEST_F(SchedulerFaultsTest, KilledAtEveryFaultPointLosesNothing) {
  const char* const points[] = {
      "runtime.before_append",      "runtime.after_append",       "journal.before_append",
      "journal.before_commit",      "journal.after_commit",       "journal.after_append",
      "journal.before_rows_commit", "journal.after_rows_commit",  "runtime.before_rows",
      "runtime.after_rows",         "store.segment.before_write", "store.segment.before_rename",
      "store.before_sync",          "store.before_rename",        "store.before_folder_sync",
      "file.before_rename"};
  Start({"n1"});
  const std::string resident = StartBeating("resident", 2);
  const std::vector<Beat> before = BeatsOf("resident");
  std::vector<std::string> programs;
  for (int round = 0; round < Times(1); ++round) {
    for (const char* point : points) {
      cluster_.scheduler().Kill();
      // Deep enough that it dies under load, and not always at the same record.
      const bool is_rare = absl::StartsWith(point, "store.") || absl::StrContains(point, "rows");
      const bool is_once = absl::StartsWith(point, "file.");  // of a start
      const uint64_t pass = 1 + (is_once ? 0 : random_.Below(is_rare ? 2 : 30));
      DaemonOptions dying;
      dying.env = {absl::StrCat("TRAINYARD_FAULTS=", point, "=exit@", pass)};
      cluster_.LaunchScheduler(dying);
      const int code = WorkUntilItDies(absl::StrCat("brief", round, point), &programs);
      EXPECT_EQ(code, 128 + SIGKILL) << point << " at pass " << pass << " was never reached";
      RestartScheduler();
      EXPECT_EQ(Compare(), "") << point << " at pass " << pass;
      ExpectUndisturbed("resident", before);
    }
  }
  for (const std::string& job : programs) ExpectEnd(job, v1::SUCCEEDED);
  LetEnd("resident");
  EXPECT_EQ(ExpectEnd(resident, v1::SUCCEEDED).attempts_size(), 1);
  ExpectQuiet();
}

// A stopped process, a paused machine, a laptop that sleeps: nobody could be heard meanwhile, and
// nobody is given up for it.
TEST_F(SchedulerFaultsTest, FrozenSchedulerGivesNobodyUp) {
  Start({"n1"}, {"--lease=2s"});
  const std::string resident = StartBeating("resident", 2);
  const std::vector<Beat> before = BeatsOf("resident");
  for (int i = 0; i < Times(1); ++i) {
    cluster_.scheduler().Signal(SIGSTOP);
    absl::SleepFor(absl::Seconds(7));
    cluster_.scheduler().Signal(SIGCONT);
    absl::SleepFor(absl::Seconds(3));  // longer than a lease: now the node has to speak
    ExpectUndisturbed("resident", before);
  }
  LetEnd("resident");
  EXPECT_EQ(ExpectEnd(resident, v1::SUCCEEDED).attempts_size(), 1);
  ExpectQuiet();
}

TEST_F(SchedulerFaultsTest, FailedSyncEndsTheServerAndNothingIsAcknowledged) {
  Start({"n1"});
  const std::string resident = StartBeating("resident", 2);
  const std::vector<Beat> before = BeatsOf("resident");
  const std::string trigger = cluster_.Path("fail");
  for (int i = 0; i < Times(3); ++i) {
    cluster_.scheduler().Kill();
    DaemonOptions options;
    options.env = {absl::StrCat("LD_PRELOAD=", FAILING_DISK_PATH),
                   absl::StrCat("TRAINYARD_TEST_FAIL_SYNC=", trigger)};
    ASSERT_TRUE(cluster_.StartScheduler(options).ok());
    api_ = cluster_.Connect();
    SubmitSome(10);
    ASSERT_TRUE(WriteFileAtomically(trigger, "").ok());
    EXPECT_FALSE(api_->Submit(Waiting("never"), "").ok()) << "acknowledged without a sync";
    EXPECT_NE(cluster_.scheduler().Await(), 0);
    EXPECT_THAT(cluster_.SchedulerLog(), HasSubstr("journal"));
    unlink(trigger.c_str());
    RestartScheduler();
    EXPECT_EQ(Compare(), "");
    ExpectUndisturbed("resident", before);
  }
  LetEnd("resident");
  EXPECT_EQ(ExpectEnd(resident, v1::SUCCEEDED).attempts_size(), 1);
  ExpectQuiet();
}

// Each of the first syncs of a file fails alone: of events, of rows, when either is moved from its
// log, of the store. One of the journal's ends the server, whatever it was doing.
TEST_F(SchedulerFaultsTest, EachSyncFailingAloneLosesNothing) {
  Start({"n1"});
  const std::string resident = StartBeating("resident", 2);
  const std::vector<Beat> before = BeatsOf("resident");
  const std::string failed = cluster_.Path("failed");
  const struct {
    const char* file;
    bool ends;
  } kinds[] = {{"journal.db-wal$", true},
               {"journal.db$", true},
               {"journal.db.rows-wal$", true},
               {"/store/", false}};
  for (int i = 0; i < Times(6) * 4; ++i) {
    const auto& kind = kinds[i % 4];
    SCOPED_TRACE(absl::StrCat("sync ", i / 4 + 1, " of ", kind.file));
    cluster_.scheduler().Kill();
    unlink(failed.c_str());
    DaemonOptions options;
    options.env = {absl::StrCat("LD_PRELOAD=", FAILING_DISK_PATH),
                   absl::StrCat("TRAINYARD_TEST_FAIL_NTH=", i / 4 + 1),
                   absl::StrCat("TRAINYARD_TEST_FAIL_FILE=", kind.file),
                   absl::StrCat("TRAINYARD_TEST_FAILED=", failed)};
    cluster_.LaunchScheduler(options);
    std::vector<std::string> programs;
    const absl::Time limit = absl::Now() + absl::Seconds(60);
    for (int n = 0; !Exists(failed) && absl::Now() < limit && cluster_.AwaitServing(); ++n) {
      api_ = cluster_.Connect();
      SubmitSome(5);
      const std::string id = absl::StrCat("sync", i, ".", n);
      const auto job = api_->Submit(BeatSpec(cluster_.Beats(id), {"ms=20"}), id);
      if (job.ok()) programs.push_back(job->name());
      // Rows are written when there was a quiet moment.
      Within(absl::Milliseconds(500), [&] { return Exists(failed); });
    }
    ASSERT_TRUE(Exists(failed)) << "it met no such sync";
    if (kind.ends) {
      EXPECT_TRUE(Eventually([&] { return cluster_.scheduler().Ended().has_value(); }))
          << "it went on though " << ReadFile(failed).value() << " was not synced";
    }
    RestartScheduler();
    EXPECT_EQ(Compare(), "");
    for (const std::string& job : programs) ExpectEnd(job, v1::SUCCEEDED);
    ExpectUndisturbed("resident", before);
  }
  LetEnd("resident");
  EXPECT_EQ(ExpectEnd(resident, v1::SUCCEEDED).attempts_size(), 1);
  ExpectQuiet();
}

TEST_F(SchedulerFaultsTest, FullDiskRefusesSubmitsAndServesTheRest) {
  ASSERT_TRUE(MakeFolders(cluster_.State(), 0700).ok());
  if (mount("tmpfs", cluster_.State().c_str(), "tmpfs", 0, "size=64m,mode=700") != 0) {
    GTEST_SKIP() << "a small tmpfs needs the right to mount: " << std::strerror(errno);
  }
  Start({"n1"});
  const std::string job = StartBeating("resident", 1);
  SubmitSome(10);
  const std::string filler = absl::StrCat(cluster_.State(), "/filler");
  for (int i = 0; i < Times(2); ++i) {
    std::ofstream file(filler, std::ios::binary);
    const std::string block(1 << 16, 'x');
    while (file.write(block.data(), 1 << 16).flush()) {
    }
    file.close();
    absl::Status refused;
    EXPECT_TRUE(Eventually([&] {
      refused = api_->Submit(Waiting("refused"), "").status();
      return !refused.ok();
    }));
    EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
    // Reads, cancels and facts go on.
    EXPECT_TRUE(api_->Get(told_["wish0"]).ok());
    const std::string to_cancel = told_[absl::StrCat("wish", 1 + i % 9)];
    EXPECT_TRUE(api_->Cancel(to_cancel).ok());
    EXPECT_EQ(api_->Get(to_cancel)->state(), v1::CANCELLED);
    unlink(filler.c_str());
    EXPECT_TRUE(Eventually([&] { return api_->Submit(Waiting("again"), "again").ok(); }));
  }
  LetEnd("resident");
  ExpectEnd(job, v1::SUCCEEDED);
  RestartScheduler();
  EXPECT_EQ(Compare(), "");
  ExpectQuiet();
  cluster_.scheduler().Kill();
  cluster_.agent("n1").Kill();
  umount2(cluster_.State().c_str(), MNT_DETACH);
}

// Found at the start, or harmless: what is served is what was acknowledged.
TEST_F(SchedulerFaultsTest, FlippedBitIsFoundOrHarmless) {
  Start({});
  SubmitSome(40);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(api_->Cancel(told_[absl::StrCat("wish", i)]).ok());
  EXPECT_EQ(cluster_.scheduler().Stop(), 0);
  const std::string stopped = cluster_.Path("stopped");
  ASSERT_EQ(Copy(cluster_.State(), stopped), 0);
  RestartScheduler();
  SubmitSome(40);
  cluster_.scheduler().Kill();  // leaves logs beside its files, and rows that are behind
  const std::string killed = cluster_.Path("killed");
  ASSERT_EQ(Copy(cluster_.State(), killed), 0);
  int found = 0;
  for (int i = 0; i < Times(30); ++i) found += Flip(killed, "journal.db-wal", 10) ? 1 : 0;
  for (const char* const file : {"journal.db", "journal.db.rows", "journal.db.mark"}) {
    for (int i = 0; i < Times(8); ++i) found += Flip(killed, file, 10) ? 1 : 0;
  }
  while (told_.size() > 40) told_.erase(absl::StrCat("wish", told_.size() - 1));
  for (int i = 0; i < Times(30); ++i) {
    found += Flip(stopped, i % 3 == 0 ? "journal.db.rows" : "journal.db", 10) ? 1 : 0;
  }
  std::printf("%d of %d flips refused, the others harmless\n", found, Times(84));
  EXPECT_GT(found, 0);
  EXPECT_THAT(cluster_.SchedulerLog(), HasSubstr("journal.db")) << "the file is named";
}

// What the backup knows goes on, what it does not know is ended; no epoch is given out again.
TEST_F(SchedulerFaultsTest, OldBackupAgainstLiveAgents) {
  Start({"n1"});
  for (int i = 0; i < Times(1); ++i) {
    const std::string old = absl::StrCat("old", i);
    const std::string lost = absl::StrCat("lost", i);
    const std::string fresh = absl::StrCat("fresh", i);
    const std::string old_job = StartBeating(old, 2);
    const std::vector<Beat> before = BeatsOf(old);
    cluster_.scheduler().Kill();
    const std::string backup = cluster_.Path(absl::StrCat("backup", i));
    ASSERT_EQ(Copy(cluster_.State(), backup), 0);
    ASSERT_TRUE(cluster_.StartScheduler().ok());
    ASSERT_TRUE(cluster_.AwaitReady("n1").ok());
    api_ = cluster_.Connect();
    StartBeating(lost, 1);
    const std::vector<Beat> lost_beats = BeatsOf(lost);
    cluster_.scheduler().Kill();
    ASSERT_TRUE(RemoveTree(cluster_.State()).ok());
    ASSERT_EQ(Copy(backup, cluster_.State()), 0);
    ASSERT_TRUE(cluster_.StartScheduler().ok()) << cluster_.SchedulerLog();
    api_ = cluster_.Connect();
    // Takes the uid that the lost job had; only its epoch tells them apart.
    const std::string fresh_job = StartBeating(fresh, 1);
    EXPECT_TRUE(Eventually([&] { return !IsAlive(lost_beats[0].pid); })) << "an unknown rank runs";
    EXPECT_GT(BeatsOf(fresh)[0].epoch, lost_beats[0].epoch) << "an epoch was given out again";
    ExpectUndisturbed(old, before);
    LetEnd(old);
    LetEnd(fresh);
    EXPECT_EQ(ExpectEnd(old_job, v1::SUCCEEDED).attempts_size(), 1);
    EXPECT_EQ(ExpectEnd(fresh_job, v1::SUCCEEDED).attempts_size(), 1);
    ExpectQuiet();
  }
}

// Fenced runs go on for as long as they may; strict ones end before their lease does, and those
// with a limit of their own when it is over. The scheduler is away for minutes in the long run,
// with the lease that a cluster has; otherwise the same is played in seconds.
TEST_F(SchedulerFaultsTest, AwayUnderFencedAndStrict) {
  const std::string lease = IsLong() ? "--lease=15s" : "--lease=3s";
  const int64_t stop_after = IsLong() ? 60 : 4;
  const absl::Duration away_at_least = IsLong() ? absl::Minutes(3) : absl::ZeroDuration();
  for (int i = 0; i < Times(1); ++i) {
    const std::string fenced = absl::StrCat("fenced", i);
    const std::string strict = absl::StrCat("strict", i);
    const std::string brief = absl::StrCat("brief", i);
    if (i == 0) Start({"n1"}, {lease});
    const std::string fenced_job = StartBeating(fenced, 2);
    v1::JobSpec spec = BeatSpec(cluster_.Beats(strict), {Until(strict)});
    spec.mutable_scheduling()->set_strict_lease(true);
    spec.mutable_scheduling()->mutable_grace()->set_seconds(1);
    const std::string strict_job = Submit(spec);
    spec = BeatSpec(cluster_.Beats(brief), {Until(brief)});
    spec.mutable_scheduling()->mutable_stop_after()->set_seconds(stop_after);
    spec.mutable_scheduling()->mutable_grace()->set_seconds(1);
    const std::string brief_job = Submit(spec);
    ASSERT_TRUE(AwaitBeats(cluster_.Beats(strict), 1));
    ASSERT_TRUE(AwaitBeats(cluster_.Beats(brief), 1));
    const std::vector<Beat> before = BeatsOf(fenced);
    const pid_t strict_rank = BeatsOf(strict)[0].pid;
    const pid_t brief_rank = BeatsOf(brief)[0].pid;
    cluster_.scheduler().Kill();
    const absl::Time away = absl::Now();
    EXPECT_TRUE(Eventually([&] { return !IsAlive(strict_rank); })) << "strict ran on";
    EXPECT_LT(absl::Now() - away, absl::Seconds(20));
    EXPECT_TRUE(Within(absl::Minutes(2), [&] { return !IsAlive(brief_rank); }))
        << "stop_after was not kept";
    EXPECT_GT(absl::Now() - away, absl::Seconds(stop_after) - absl::Seconds(2)) << "cut short";
    absl::SleepFor(away + away_at_least - absl::Now());  // its absence is what is tested
    ExpectUndisturbed(fenced, before);
    std::printf("away for %s\n", absl::FormatDuration(absl::Now() - away).c_str());
    RestartScheduler({lease});
    for (const std::string& name : {fenced, strict, brief}) LetEnd(name);
    EXPECT_EQ(ExpectEnd(fenced_job, v1::SUCCEEDED).attempts_size(), 1);
    const v1::Job again = ExpectEnd(strict_job, v1::SUCCEEDED);
    ASSERT_EQ(again.attempts_size(), 2) << again.ShortDebugString();
    EXPECT_EQ(again.attempts(0).exit().cause(), v1::NODE_LOST);
    ExpectEnd(brief_job, v1::SUCCEEDED);
    ExpectQuiet();
  }
}

// journal_level_1.tar.gz holds what the first release wrote: three waiting jobs and a cancelled
// one.
TEST_F(SchedulerFaultsTest, JournalOfTheFirstFormatIsReadAndALaterOneRefused) {
  ASSERT_TRUE(MakeFolders(cluster_.State(), 0700).ok());
  ASSERT_EQ(
      RunToEnd({{"tar", "-xzf", FIRST_JOURNAL_PATH, "--no-same-owner", "-C", cluster_.State()},
                {},
                "",
                cluster_.Path("log/tar"),
                ""}),
      0);
  Start({});
  ASSERT_FALSE(HasFatalFailure());
  std::map<std::string, v1::JobState> states;
  const auto listed = api_->List();
  ASSERT_TRUE(listed.ok()) << listed.status();
  for (const v1::Job& job : *listed) states[job.name()] = job.state();
  const std::string jobs = "projects/default/jobs/";
  EXPECT_EQ(states, (std::map<std::string, v1::JobState>{{jobs + "kept0", v1::QUEUED},
                                                         {jobs + "kept1", v1::QUEUED},
                                                         {jobs + "kept2", v1::QUEUED},
                                                         {jobs + "gone", v1::CANCELLED}}));
  // What waited for years still runs.
  ASSERT_TRUE(cluster_.StartAgent("n1").ok());
  for (const char* name : {"kept0", "kept1", "kept2"}) ExpectEnd(jobs + name, v1::SUCCEEDED);
  ExpectQuiet();
  EXPECT_EQ(cluster_.scheduler().Stop(), 0);
  // SQLite keeps our format's number in four bytes at 60, highest first.
  const std::string path = cluster_.State() + "/scheduler/journal.db";
  std::string bytes = ReadFile(path).value();
  bytes.replace(60, 4, std::string("\0\0\0\x63", 4));
  ASSERT_TRUE(WriteFileAtomically(path, bytes, 0600).ok());
  cluster_.LaunchScheduler({});
  EXPECT_FALSE(cluster_.AwaitServing());
  EXPECT_EQ(cluster_.scheduler().Await(), 1);
  EXPECT_THAT(cluster_.SchedulerLog(), HasSubstr("has format 99"));
}

TEST_F(SchedulerFaultsTest, SameRequestIdWithAnotherBodyIsRefused) {
  Start({});
  const auto first = api_->Submit(Waiting("one"), "id");
  ASSERT_TRUE(first.ok());
  for (int i = 0; i < Times(3); ++i) {
    EXPECT_EQ(api_->Submit(Waiting("one"), "id")->name(), first->name());
    const absl::Status refused = api_->Submit(Waiting("two"), "id").status();
    EXPECT_FALSE(refused.ok());
    EXPECT_NE(FaultsOf(refused).faults(0).fix(), "");
    RestartScheduler();
  }
  EXPECT_EQ(api_->List()->size(), 1u);
}

}  // namespace
}  // namespace trainyard::testing
