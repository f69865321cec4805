// The agent's log of facts: what survives a kill, a torn or damaged record, a restart of the
// machine, a power cut and a full disk.
#include "worker/agent/fact_log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace trainyard::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class FactLogTest : public testing::Test {
 protected:
  FactLogTest() {
    char name[] = "/tmp/trainyard-facts-test-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~FactLogTest() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
};

agent::v1::Fact FactOf(uint64_t sequence) {
  agent::v1::Fact fact;
  fact.set_sequence(sequence);
  fact.mutable_running()->set_pid(static_cast<int64_t>(sequence * 10));
  return fact;
}

std::vector<uint64_t> Numbers(const FactLog::Contents& contents) {
  std::vector<uint64_t> numbers;
  for (const agent::v1::Fact& fact : contents.facts) numbers.push_back(fact.sequence());
  return numbers;
}

std::vector<int64_t> Pids(const FactLog::Contents& contents) {
  std::vector<int64_t> pids;
  for (const agent::v1::Fact& fact : contents.facts) pids.push_back(fact.running().pid());
  return pids;
}

FactLog OpenLog(const std::string& folder, FactLog::Contents* contents,
                const std::string& boot = "boot-1") {
  absl::StatusOr<FactLog> log = FactLog::Open(folder, boot, contents);
  EXPECT_TRUE(log.ok()) << log.status();
  return *std::move(log);
}

TEST_F(FactLogTest, FactsComeBackUntilDropped) {
  FactLog::Contents contents;
  {
    FactLog log = OpenLog(folder_, &contents);
    EXPECT_EQ(contents.next_sequence, 1u);
    for (uint64_t i = 1; i <= 4; ++i) ASSERT_TRUE(log.Append(FactOf(i)).ok());
    ASSERT_TRUE(log.Drop(2).ok());
  }
  FactLog log = OpenLog(folder_, &contents);
  EXPECT_THAT(Numbers(contents), ElementsAre(3, 4));
  EXPECT_EQ(contents.facts[0].running().pid(), 30);
  EXPECT_EQ(contents.next_sequence, 5u);
  ASSERT_TRUE(log.Drop(4).ok());
  OpenLog(folder_, &contents);
  EXPECT_THAT(contents.facts, IsEmpty());
  EXPECT_EQ(contents.next_sequence, 5u) << "numbers are never reused";
}

TEST_F(FactLogTest, ANumberThatIsAcknowledgedIsNotGivenAgain) {
  FactLog::Contents contents;
  {
    FactLog log = OpenLog(folder_, &contents);
    ASSERT_TRUE(log.Drop(9).ok());  // the scheduler knows more than this folder does
  }
  {
    FactLog log = OpenLog(folder_, &contents);
    EXPECT_EQ(contents.next_sequence, 10u);
    ASSERT_TRUE(log.Append(FactOf(10)).ok());
  }
  OpenLog(folder_, &contents);
  EXPECT_THAT(Numbers(contents), ElementsAre(10));
}

TEST_F(FactLogTest, ATornTailLosesOnlyItself) {
  for (int cut = 1; cut <= 12; ++cut) {
    const std::string folder = absl::StrCat(folder_, "/", cut);
    FactLog::Contents contents;
    {
      FactLog log = OpenLog(folder, &contents);
      for (uint64_t i = 1; i <= 3; ++i) ASSERT_TRUE(log.Append(FactOf(i)).ok());
    }
    const std::string path = folder + "/facts.log";
    std::filesystem::resize_file(path, std::filesystem::file_size(path) - cut);
    FactLog log = OpenLog(folder, &contents);
    ASSERT_THAT(Pids(contents), ElementsAre(10, 20)) << cut;
    ASSERT_TRUE(log.Append(FactOf(contents.next_sequence)).ok());
    OpenLog(folder, &contents);
    ASSERT_THAT(contents.facts, testing::SizeIs(3)) << cut;
  }
}

TEST_F(FactLogTest, ADamagedRecordEndsTheLogThere) {
  FactLog::Contents contents;
  {
    FactLog log = OpenLog(folder_, &contents);
    for (uint64_t i = 1; i <= 3; ++i) ASSERT_TRUE(log.Append(FactOf(i)).ok());
  }
  const std::string path = folder_ + "/facts.log";
  const int fd = open(path.c_str(), O_WRONLY);
  ASSERT_EQ(pwrite(fd, "\xff", 1, static_cast<off_t>(std::filesystem::file_size(path)) - 1), 1);
  close(fd);
  OpenLog(folder_, &contents);
  EXPECT_THAT(Pids(contents), ElementsAre(10, 20));
}

// The agent's own reserve: what members did is told although jobs have filled the disk.
TEST_F(FactLogTest, AFullDiskStillTakesFacts) {
  const std::string small = folder_ + "/small";
  std::filesystem::create_directory(small);
  if (mount("tmpfs", small.c_str(), "tmpfs", 0, "size=4m") != 0) {
    GTEST_SKIP() << "no file system can be mounted here: " << strerror(errno);
  }
  const auto unmount = absl::MakeCleanup([&small] { umount2(small.c_str(), MNT_DETACH); });
  const std::string facts = small + "/facts";
  FactLog::Contents contents;
  {
    FactLog log = OpenLog(facts, &contents);
    std::ofstream filler(small + "/filler");
    filler << std::string(4 << 20, 'x') << std::flush;
    ASSERT_FALSE(filler.good()) << "the disk is not full";
    for (uint64_t i = 1; i <= 300; ++i) {
      agent::v1::Fact fact = FactOf(i);
      fact.mutable_exited()->mutable_record()->set_message(std::string(1000, 'm'));
      ASSERT_TRUE(log.Append(fact).ok()) << i;
    }
  }
  FactLog log = OpenLog(facts, &contents);
  EXPECT_EQ(contents.facts.size(), 300u);
  absl::Status full;
  for (uint64_t i = 301; full.ok() && i < 10000; ++i) {
    agent::v1::Fact fact = FactOf(i);
    fact.mutable_exited()->mutable_record()->set_message(std::string(1000, 'm'));
    full = log.Append(fact);
  }
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted) << "the reserve has an end";
}

TEST_F(FactLogTest, APowerCutTellsWhatWasNeverAcknowledged) {
  FactLog::Contents contents;
  {
    FactLog log = OpenLog(folder_, &contents);
    for (uint64_t i = 1; i <= 4; ++i) ASSERT_TRUE(log.Append(FactOf(i)).ok());
    ASSERT_TRUE(log.Drop(2).ok());
  }
  OpenLog(folder_, &contents);
  EXPECT_EQ(contents.acknowledged, 2u);
  // The end of the file is gone with the machine's power.
  const std::string path = folder_ + "/facts.log";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 10);
  OpenLog(folder_, &contents, "boot-2");
  EXPECT_THAT(contents.facts, testing::SizeIs(testing::Lt(2)));
  EXPECT_EQ(contents.acknowledged, 2u) << "what is lost was not acknowledged";
}

TEST_F(FactLogTest, AfterARestartOfTheMachineNumbersSkipAhead) {
  FactLog::Contents contents;
  {
    FactLog log = OpenLog(folder_, &contents);
    ASSERT_TRUE(log.Append(FactOf(1)).ok());
  }
  OpenLog(folder_, &contents, "boot-2");
  EXPECT_GT(contents.next_sequence, 1000u);
  const uint64_t next = contents.next_sequence;
  OpenLog(folder_, &contents, "boot-2");
  EXPECT_EQ(contents.next_sequence, next) << "once a boot";
}

// What the scheduler acknowledged may be what is lost: its numbers are not given again, and what is
// left has no gap before what comes.
TEST_F(FactLogTest, AfterDamageNumbersSkipAheadAndWhatIsLeftFollows) {
  FactLog::Contents contents;
  {
    FactLog log = OpenLog(folder_, &contents);
    for (uint64_t i = 1; i <= 6; ++i) ASSERT_TRUE(log.Append(FactOf(i)).ok());
    ASSERT_TRUE(log.Drop(2).ok());
  }
  const std::string path = folder_ + "/facts.log";
  std::string bytes = *ReadFile(path);
  bytes[bytes.size() * 3 / 4] = static_cast<char>(bytes[bytes.size() * 3 / 4] ^ 1);
  std::ofstream(path, std::ios::binary) << bytes;
  OpenLog(folder_, &contents);
  EXPECT_GT(contents.next_sequence, 1000u);
  ASSERT_FALSE(contents.facts.empty());
  EXPECT_EQ(contents.facts.back().sequence() + 1, contents.next_sequence);
  EXPECT_EQ(contents.facts.front().sequence() + contents.facts.size(), contents.next_sequence);
  EXPECT_EQ(contents.facts.front().running().pid(), 10) << "the first that was not dropped here";
  const uint64_t next = contents.next_sequence;
  OpenLog(folder_, &contents);
  EXPECT_EQ(contents.next_sequence, next) << "once";
}

TEST_F(FactLogTest, ALongLogIsRewrittenAndTheIncarnationKept) {
  FactLog::Contents contents;
  {
    FactLog log = OpenLog(folder_, &contents);
    agent::v1::Fact fact = FactOf(1);
    fact.mutable_exited()->mutable_record()->set_stderr_tail(std::string(8192, 'x'));
    for (uint64_t i = 1; i <= 400; ++i) {
      fact.set_sequence(i);
      ASSERT_TRUE(log.Append(fact).ok());
      ASSERT_TRUE(log.Drop(i).ok());
    }
    ASSERT_TRUE(log.SetIncarnation(7).ok());
  }
  EXPECT_LT(std::filesystem::file_size(folder_ + "/facts.log"), 2u << 20);
  const FactLog log = OpenLog(folder_, &contents);
  EXPECT_EQ(log.incarnation(), 7u);
  EXPECT_EQ(contents.next_sequence, 401u);
}

}  // namespace
}  // namespace trainyard::worker
