// The real scheduler is killed (SIGKILL) at random moments, also while it starts, while clients
// submit, cancel, tune and administer, and a real agent runs real ranks. Nothing that was
// acknowledged may be lost or doubled, and no running rank may notice: same process, same epoch, a
// counter that never stands still, one attempt each at the end. Programs that end or begin while no
// scheduler is there are accounted for. By itself: build/release/tests/recovery_test
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <random>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/random.h"
#include "tests/integration/recovery/load.h"

namespace trainyard::testing {
namespace {

constexpr int kSubmitters = 3;
constexpr int kKills = 1000;
constexpr int kSoloRanks = 3;
constexpr int kCheckEvery = 50;  // rounds
// A rank that is not disturbed may still wait for a core of a loaded machine.
constexpr int64_t kGapMsMax = 10'000;

struct Resident {
  std::string prefix;  // of its records
  std::string name;    // of its job
  int ranks = 1;
  std::vector<Beat> beats;  // when it was seen first
};

class RecoveryTest : public ::testing::Test {
 protected:
  RecoveryTest() : seed_(std::random_device()()), random_(seed_) {
    std::printf("seed %lu\n", seed_);
    for (int i = 0; i < kSubmitters; ++i) submitters_.emplace_back(absl::StrCat("load", i));
  }

  void StartResidents(Api* api) {
    for (int i = 0; i <= kSoloRanks; ++i) {
      Resident one;
      one.prefix = cluster_.Beats(absl::StrCat("resident", i));
      one.ranks = i == kSoloRanks ? 2 : 1;  // the last is a gang under mpirun
      const auto job = api->Submit(
          BeatSpec(one.prefix, {absl::StrCat("until=", cluster_.Path("end"))}, one.ranks));
      ASSERT_TRUE(job.ok()) << job.status();
      one.name = job->name();
      residents_.push_back(one);
    }
    for (Resident& one : residents_) {
      ASSERT_TRUE(AwaitBeats(one.prefix, one.ranks)) << cluster_.Describe();
      ASSERT_TRUE(AwaitState(api, one.name, {v1::RUNNING}).ok());
      one.beats = ReadBeats(one.prefix);
      ASSERT_EQ(one.beats.size(), static_cast<size_t>(one.ranks));
    }
  }

  // The same processes, further on than when looked at last.
  void CheckResidents() {
    for (Resident& one : residents_) {
      std::vector<Beat> now;
      const bool moved = Eventually([&] {
        now = ReadBeats(one.prefix);
        return now.size() != one.beats.size() ||
               std::equal(now.begin(), now.end(), one.beats.begin(),
                          [](const Beat& a, const Beat& b) { return a.counter > b.counter; });
      });
      ASSERT_TRUE(moved) << one.prefix << " stands still";
      ASSERT_EQ(now.size(), one.beats.size()) << one.prefix << " was started again";
      for (size_t i = 0; i < now.size(); ++i) {
        ASSERT_EQ(now[i].pid, one.beats[i].pid) << one.prefix << " is another process";
        ASSERT_EQ(now[i].epoch, one.beats[i].epoch) << one.prefix << " has another epoch";
        ASSERT_LT(now[i].gap_ms, kGapMsMax) << one.prefix << " stood still";
      }
      one.beats = now;
    }
  }

  void CheckNothingLost(Api* api) {
    const auto jobs = api->List();
    ASSERT_TRUE(jobs.ok()) << jobs.status();
    std::multimap<std::string, v1::Job> by_request;
    std::set<uint64_t> uids;
    for (const v1::Job& job : *jobs) {
      by_request.emplace(job.spec().display_name(), job);
      ASSERT_TRUE(uids.insert(job.uid()).second) << "uid " << job.uid() << " twice";
    }
    for (const Submitter& submitter : submitters_) {
      ASSERT_EQ(submitter.Compare(by_request), "");
    }
    ASSERT_EQ(teller_.Compare(api), "");
    ASSERT_EQ(administrator_.Compare(api), "");
  }

  // Clients, each until its first unanswered wish; the server is killed `after` it serves.
  void KillUnderLoad(absl::Duration after) {
    cluster_.LaunchScheduler({{"--log_level=warning"}, {}, ""});
    std::vector<std::thread> clients;
    const bool serving = cluster_.AwaitServing();
    const absl::Time end = absl::Now() + after;
    if (serving) {
      for (Submitter& submitter : submitters_) {
        clients.emplace_back([this, &submitter] {
          const auto api = cluster_.Connect();
          while (submitter.Once(api.get())) absl::SleepFor(absl::Milliseconds(5));
        });
      }
      clients.emplace_back([this] {
        const auto api = cluster_.Connect();
        while (teller_.Once(api.get())) absl::SleepFor(absl::Milliseconds(5));
      });
      clients.emplace_back([this] {
        const auto api = cluster_.Connect();
        while (administrator_.Once(api.get())) absl::SleepFor(absl::Milliseconds(20));
      });
      const int64_t millis = static_cast<int64_t>(random_.Below(300));
      clients.emplace_back([this, millis] { runner_.Once(cluster_.Connect().get(), millis); });
    }
    absl::SleepFor(end - absl::Now());  // the moment of death is what is random here
    EXPECT_FALSE(cluster_.scheduler().Ended().has_value()) << "it ended by itself";
    cluster_.scheduler().Kill();
    for (std::thread& client : clients) client.join();
  }
  // As above, but the moment lies in the start itself.
  void KillWhileStarting() {
    cluster_.LaunchScheduler({{"--log_level=warning"}, {}, ""});
    absl::SleepFor(absl::Microseconds(random_.Below(60'000)));
    EXPECT_FALSE(cluster_.scheduler().Ended().has_value()) << "it ended by itself";
    cluster_.scheduler().Kill();
  }

  // Everything that was submitted to run has run, once. Asked now and then: what a program leaves
  // is stored while there is a scheduler, and there is a limit to the time that this takes.
  void CheckRunners(Api* api) {
    for (const auto& [record, name] : runner_.jobs()) {
      if (!run_.insert(record).second) continue;
      const auto job = AwaitEnd(api, name);
      ASSERT_TRUE(job.ok()) << job.status() << cluster_.Describe();
      ASSERT_EQ(job->state(), v1::SUCCEEDED) << job->ShortDebugString();
      ASSERT_EQ(job->attempts_size(), 1) << job->ShortDebugString();
      ASSERT_EQ(ReadBeats(record).size(), 1u) << name << " was started more than once";
    }
  }

  void CheckRunnersAndResidents(Api* api) {
    CheckRunners(api);
    if (HasFatalFailure()) return;
    CheckResidents();
    ASSERT_EQ(RunToEnd({{"touch", cluster_.Path("end")}, {}, "", "", ""}), 0);
    for (const Resident& one : residents_) {
      const auto job = AwaitEnd(api, one.name);
      ASSERT_TRUE(job.ok()) << job.status() << cluster_.Describe();
      ASSERT_EQ(job->state(), v1::SUCCEEDED) << job->ShortDebugString();
      ASSERT_EQ(job->attempts_size(), 1) << job->ShortDebugString();
      ASSERT_EQ(job->attempts(0).epoch(), one.beats[0].epoch);
    }
  }

  const uint64_t seed_;
  Random random_;
  Cluster cluster_;
  std::vector<Submitter> submitters_;
  Teller teller_;
  Administrator administrator_{"nodes/n2"};
  Runner runner_{cluster_.Beats("quick")};
  std::set<std::string> run_;  // records of those that have ended
  std::vector<Resident> residents_;
};

TEST_F(RecoveryTest, KillsUnderLoadLoseNothingAndDisturbNobody) {
  ASSERT_TRUE(cluster_.StartScheduler().ok());
  {
    const auto api = cluster_.Connect();
    const absl::Status agent = cluster_.StartAgent("n1");
    ASSERT_TRUE(agent.ok()) << agent;
    ASSERT_TRUE(teller_.Start(api.get()).ok());
    StartResidents(api.get());
    const absl::Status second = cluster_.StartAgent("n2");
    ASSERT_TRUE(second.ok()) << second;
  }
  if (HasFatalFailure()) return;
  cluster_.scheduler().Kill();
  const int kills = ManyTimes(kKills);
  for (int round = 1; round < kills; ++round) {
    if (round % 4 == 0) {
      KillWhileStarting();
    } else {
      KillUnderLoad(absl::Milliseconds(5) + absl::Microseconds(random_.Below(250'000)));
    }
    CheckResidents();
    if (round % kCheckEvery == 0) {
      ASSERT_TRUE(cluster_.StartScheduler().ok());
      const auto api = cluster_.Connect();
      CheckNothingLost(api.get());
      CheckRunners(api.get());
      cluster_.scheduler().Kill();
    }
    if (HasFailure()) break;
  }
  ASSERT_FALSE(HasFailure()) << cluster_.Describe();
  ASSERT_TRUE(cluster_.StartScheduler().ok());
  const auto api = cluster_.Connect();
  CheckNothingLost(api.get());
  if (!HasFatalFailure()) CheckRunnersAndResidents(api.get());
  ASSERT_FALSE(HasFatalFailure()) << cluster_.Describe();
  const absl::Status quiet = cluster_.AwaitQuiet(api.get());
  EXPECT_TRUE(quiet.ok()) << quiet;
  size_t jobs = 0;
  size_t repeated = 0;
  for (const Submitter& submitter : submitters_) {
    jobs += submitter.acknowledged();
    repeated += submitter.repeated();
  }
  // There was load, or nothing is proved.
  EXPECT_GT(jobs, static_cast<size_t>(kills) / 2);
  EXPECT_GT(repeated, 0u) << "no answer was ever lost";
  EXPECT_GT(teller_.acknowledged(), static_cast<size_t>(kills) / 8);
  EXPECT_GT(runner_.jobs().size(), static_cast<size_t>(kills) / 8);
  EXPECT_GT(administrator_.acknowledged(), static_cast<size_t>(kills) / 2);
  std::printf(
      "%d kills; acknowledged: %zu jobs, %zu programs run, %zu trials, %zu tokens and drains; "
      "0 lost\n",
      kills, jobs, runner_.jobs().size(), teller_.acknowledged(), administrator_.acknowledged());
}

}  // namespace
}  // namespace trainyard::testing
