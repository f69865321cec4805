// What is written in the background: one picture at a time, nothing dropped when a write fails; and
// the reserve that keeps facts going on a full disk.
#include "scheduler/runtime/rows.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "common/errors.h"
#include "common/file.h"
#include "scheduler/journal/memory_journal.h"
#include "scheduler/runtime/disk_guard.h"
#include "scheduler/runtime/row_keeper.h"

namespace trainyard::runtime {
namespace {

core::JobPtr MakeJob(uint64_t uid, v1::JobState state) {
  auto job = std::make_shared<journal::v1::JobRow>();
  job->set_uid(uid);
  job->set_project("p");
  job->set_job_id("j");
  job->set_state(state);
  return job;
}

Delta DeltaWith(uint64_t revision, core::JobPtr job) {
  Delta delta;
  delta.revision = revision;
  delta.jobs.emplace_back(job->uid(), std::move(job));
  return delta;
}

class RowKeeperTest : public ::testing::Test {
 protected:
  RowKeeperTest() : incarnation_(journal_.Recover()->incarnation) {
    EXPECT_TRUE(journal_.Append(incarnation_, 0, {"a", "b", "c"}).ok());
  }
  v1::JobState Written(uint64_t uid) {
    journal::v1::JobRow row;
    row.ParseFromString(journal_.ReadRow("job", UidKey(uid)).value_or(""));
    return row.state();
  }

  journal::MemoryJournal journal_;
  const uint64_t incarnation_;
  ViewTable view_{&journal_};
  RowKeeper keeper_{&journal_, incarnation_, &view_};
};

// A hundred thousand jobs with few specs among them cost the memory of the few.
TEST(LoadRowsTest, EqualSpecsShareOneObject) {
  constexpr uint64_t kSpecs = 300;
  journal::Recovered recovered;
  for (uint64_t uid = 1; uid <= 2 * kSpecs; ++uid) {
    journal::v1::SpecRow row;
    row.set_job_uid(uid);
    row.mutable_spec()->set_display_name(std::to_string(uid % kSpecs));
    recovered.rows.push_back({"spec", UidKey(uid), row.SerializeAsString(), 1});
  }
  core::State state;
  ASSERT_TRUE(LoadRows(&recovered, &state).ok());
  EXPECT_TRUE(recovered.rows.empty());
  ASSERT_EQ(state.specs.size(), 2 * kSpecs);
  for (uint64_t uid = 1; uid <= kSpecs; ++uid) {
    EXPECT_EQ(state.specs.at(uid), state.specs.at(uid + kSpecs)) << uid;
    EXPECT_EQ(state.specs.at(uid)->display_name(), std::to_string(uid % kSpecs));
  }
}

TEST(LoadRowsTest, DamagedSpecIsDataLoss) {
  journal::Recovered recovered;
  recovered.rows.push_back({"spec", UidKey(7), "\x08\x07\x12\xff", 1});
  core::State state;
  EXPECT_TRUE(absl::IsDataLoss(LoadRows(&recovered, &state)));
}

TEST_F(RowKeeperTest, NewestRowOfEachIsWritten) {
  keeper_.Note(DeltaWith(1, MakeJob(7, v1::QUEUED)));
  keeper_.Note(DeltaWith(2, MakeJob(7, v1::RUNNING)));
  EXPECT_GT(keeper_.pending(), 0u);
  ASSERT_TRUE(keeper_.Flush().ok());
  EXPECT_EQ(keeper_.pending(), 0u);
  EXPECT_EQ(Written(7), v1::RUNNING);
}

TEST_F(RowKeeperTest, FailedWriteIsTriedAgainWithWhatCameSince) {
  keeper_.Note(DeltaWith(1, MakeJob(7, v1::QUEUED)));
  keeper_.Note(DeltaWith(2, MakeJob(8, v1::QUEUED)));
  RowKeeper stale(&journal_, incarnation_ - 1, &view_);
  stale.Note(DeltaWith(1, MakeJob(7, v1::FAILED)));
  EXPECT_FALSE(stale.Flush().ok()) << "an older incarnation may not write";
  EXPECT_GT(stale.pending(), 0u);
  keeper_.Note(DeltaWith(3, MakeJob(7, v1::RUNNING)));
  ASSERT_TRUE(keeper_.Flush().ok());
  EXPECT_EQ(Written(7), v1::RUNNING);
  EXPECT_EQ(Written(8), v1::QUEUED);
}

TEST_F(RowKeeperTest, ArchivedJobLeavesTheViewWhenItsRowsAreWritten) {
  const core::JobPtr job = MakeJob(7, v1::SUCCEEDED);
  Delta delta = DeltaWith(1, job);
  delta.archives.push_back({job, std::make_shared<v1::JobSpec>(), nullptr, {}, {}});
  view_.Publish(delta);
  keeper_.Note(delta);
  ASSERT_TRUE(keeper_.Flush().ok());
  EXPECT_TRUE(journal_.ReadRow("job", UidKey(7)).value_or("").empty()) << "the live row is gone";
  ASSERT_NE(view_.Job(7), nullptr) << "read from the old row";
  EXPECT_EQ(view_.JobByName("p", "j")->uid(), 7u);
}

class DiskGuardTest : public ::testing::Test {
 protected:
  DiskGuardTest() {
    char path[] = "/tmp/trainyard-guard-XXXXXX";
    folder_ = mkdtemp(path);
  }
  ~DiskGuardTest() override { RemoveTree(folder_).IgnoreError(); }
  std::string folder_;
};

TEST_F(DiskGuardTest, ReserveIsHeldGivenUpAndTakenAgain) {
  DiskGuard guard(folder_, 1 << 16);
  EXPECT_TRUE(Exists(JoinPath(folder_, "reserve")));
  EXPECT_FALSE(guard.full());
  guard.Full();
  EXPECT_FALSE(Exists(JoinPath(folder_, "reserve"))) << "its space is for what must be written";
  EXPECT_TRUE(guard.full());
  EXPECT_EQ(ReasonOf(guard.Refusal()), "DISK_FULL");
  guard.Look();
  EXPECT_FALSE(guard.full()) << "there is room again";
  EXPECT_TRUE(Exists(JoinPath(folder_, "reserve")));
}

TEST_F(DiskGuardTest, NoReserveIsTakenFromADiskThatHasNoRoomForIt) {
  DiskGuard guard(folder_, int64_t{1} << 60);
  EXPECT_FALSE(Exists(JoinPath(folder_, "reserve")));
}

}  // namespace
}  // namespace trainyard::runtime
