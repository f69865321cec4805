// Power cuts of the scheduler's machine: it is killed under load, and of its journal's files only
// what was synced is left. Nothing that was acknowledged is lost, and ranks on other machines run
// on. What a real disk does with what it calls synced is not for a test to say.
// By itself: build/release/tests/power_faults_test
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "common/random.h"
#include "tests/integration/faults/faults_fixture.h"
#include "tests/integration/recovery/load.h"

namespace trainyard::testing {
namespace {

namespace fs = std::filesystem;

class PowerFaultsTest : public FaultsTest {
 protected:
  PowerFaultsTest() : seed_(std::random_device()()), random_(seed_) {
    std::printf("seed %lu\n", seed_);
  }

  DaemonOptions Losing() {
    DaemonOptions options;
    options.env = {absl::StrCat("LD_PRELOAD=", LOSING_DISK_PATH),
                   "TRAINYARD_TEST_LOSES=/scheduler/journal.db",
                   absl::StrCat("TRAINYARD_TEST_DURABLE=", cluster_.Path("durable"))};
    return options;
  }
  // Every file of the journal is what it was when it was synced last, or gone. Files keep their
  // places on the disk. The mark, which nobody waits for, may be newer.
  void CutPower() {
    int lost = 0;
    for (const auto& entry : fs::directory_iterator(cluster_.State() + "/scheduler")) {
      const std::string name = entry.path().filename();
      if (name.rfind("journal.db", 0) != 0 || name == "journal.db.lock") continue;
      const std::string durable = cluster_.Path("durable/" + name);
      if (name == "journal.db.mark" && random_.Below(2) == 0) continue;
      if (!fs::exists(durable)) {
        fs::remove(entry.path());
        continue;
      }
      const std::string kept = ReadFile(durable).value();
      lost += kept == ReadFile(entry.path()).value() ? 0 : 1;
      std::ofstream(entry.path(), std::ios::binary | std::ios::trunc) << kept;
    }
    lost_ += lost;
  }
  // Clients, each until its first unanswered wish; the server dies `after` it serves.
  void CutUnderLoad(absl::Duration after) {
    cluster_.LaunchScheduler(Losing());
    ASSERT_TRUE(cluster_.AwaitServing()) << cluster_.SchedulerLog();
    std::vector<std::thread> clients;
    for (Submitter& submitter : submitters_) {
      clients.emplace_back([this, &submitter] {
        const auto api = cluster_.Connect();
        while (submitter.Once(api.get())) absl::SleepFor(absl::Milliseconds(2));
      });
    }
    clients.emplace_back([this] {
      const auto api = cluster_.Connect();
      while (teller_.Once(api.get())) absl::SleepFor(absl::Milliseconds(2));
    });
    absl::SleepFor(after);  // the moment is what is random here
    cluster_.scheduler().Kill();
    for (std::thread& client : clients) client.join();
    CutPower();
  }
  void ExpectNothingLost() {
    const auto jobs = api_->List();
    ASSERT_TRUE(jobs.ok()) << jobs.status();
    std::multimap<std::string, v1::Job> by_request;
    for (const v1::Job& job : *jobs) by_request.emplace(job.spec().display_name(), job);
    for (const Submitter& submitter : submitters_) ASSERT_EQ(submitter.Compare(by_request), "");
    ASSERT_EQ(teller_.Compare(api_.get()), "");
  }

  const uint64_t seed_;
  Random random_;
  std::vector<Submitter> submitters_{Submitter("load0"), Submitter("load1")};
  Teller teller_;
  int lost_ = 0;  // files that a cut changed
};

TEST_F(PowerFaultsTest, WhatWasAcknowledgedIsThereAfterPowerCuts) {
  ASSERT_TRUE(MakeFolders(cluster_.Path("durable")).ok());
  ASSERT_TRUE(cluster_.StartScheduler(Losing()).ok());
  api_ = cluster_.Connect();
  ASSERT_TRUE(cluster_.StartAgent("n1").ok());
  ASSERT_TRUE(teller_.Start(api_.get()).ok());
  const std::string resident = StartBeating("resident", 2);
  const std::vector<Beat> before = BeatsOf("resident");
  cluster_.scheduler().Kill();
  CutPower();
  for (int i = 0; i < Times(20); ++i) {
    SCOPED_TRACE(i);
    // Rows are written when there was a quiet moment, or after five seconds.
    CutUnderLoad(absl::Milliseconds(5) + absl::Microseconds(random_.Below(400'000)));
    if (HasFatalFailure()) return;
    ASSERT_TRUE(cluster_.StartScheduler(Losing()).ok()) << cluster_.SchedulerLog();
    api_ = cluster_.Connect();
    ExpectNothingLost();
    ExpectUndisturbed("resident", before);
    if (HasFailure()) return;
    absl::SleepFor(absl::Microseconds(random_.Below(600'000)));  // with or without rows
    cluster_.scheduler().Kill();
    CutPower();
  }
  RestartScheduler();
  ExpectNothingLost();
  size_t acknowledged = teller_.acknowledged();
  for (const Submitter& submitter : submitters_) acknowledged += submitter.acknowledged();
  std::printf("%zu wishes acknowledged, %d files changed by the cuts, 0 lost\n", acknowledged,
              lost_);
  EXPECT_GT(acknowledged, 100u);
  EXPECT_GT(lost_, 0) << "nothing was ever unsynced: the cuts changed nothing";
  LetEnd("resident");
  EXPECT_EQ(ExpectEnd(resident, v1::SUCCEEDED).attempts_size(), 1);
  ExpectQuiet();
}

}  // namespace
}  // namespace trainyard::testing
