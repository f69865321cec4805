// A program that prints faster than anybody reads: the newest is kept, the gap tells what is gone,
// and the disk gets its blocks back; an agent that is restarted goes on behind the gap.
#include "worker/agent/tail.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace trainyard::worker {
namespace {

constexpr int64_t kMiB = 1 << 20;
constexpr TailLimits kSmall{4 * kMiB, 1 * kMiB, 64 << 10, 256 << 10};

class TailTest : public testing::Test {
 protected:
  TailTest() {
    char name[] = "/tmp/trainyard-tail-test-XXXXXX";
    folder_ = mkdtemp(name);
    std::filesystem::create_directory(folder_ + "/log");
    assignment_.set_job_uid(5);
    assignment_.add_ranks();
  }
  ~TailTest() override { std::filesystem::remove_all(folder_); }

  // Lines of 16 bytes that carry their offset.
  void Print(int64_t bytes) {
    std::ofstream log(Path(), std::ios::app | std::ios::binary);
    for (int64_t end = printed_ + bytes; printed_ < end; printed_ += 16) {
      std::string line = absl::StrCat(printed_);
      line.resize(15, ' ');
      log << line << '\n';
    }
  }
  std::string Path() const { return folder_ + "/log/rank-0.out"; }
  int64_t BlocksOnDisk() const {
    struct stat info {};
    return stat(Path().c_str(), &info) == 0 ? info.st_blocks * 512 : -1;
  }
  // Reads all there is; every chunk must hold the lines of its offset.
  void ReadAll(Tail* tail) {
    agent::v1::TelemetryBatch batch;
    while (tail->Read(256 << 10, Tail::Partial::kEnds, 1, &batch)) {
      for (const agent::v1::LogChunk& chunk : batch.logs()) {
        if (chunk.offset() > next_) dropped_ += chunk.offset() - next_;
        EXPECT_GE(chunk.offset(), next_);
        const int64_t first = (chunk.offset() + 15) / 16 * 16;
        const std::string line = chunk.data().substr(static_cast<size_t>(first - chunk.offset()));
        EXPECT_TRUE(absl::StartsWith(line, absl::StrCat(first, " "))) << line.substr(0, 20);
        next_ = chunk.offset() + static_cast<int64_t>(chunk.data().size());
        read_ += static_cast<int64_t>(chunk.data().size());
      }
    }
  }

  std::string folder_;
  agent::v1::Assignment assignment_;
  int64_t printed_ = 0;
  int64_t next_ = 0;
  int64_t read_ = 0;
  int64_t dropped_ = 0;
};

TEST_F(TailTest, NothingIsDroppedWhileItIsRead) {
  Tail tail(folder_, assignment_, kSmall);
  for (int i = 0; i < 12; ++i) {
    Print(kMiB);
    ReadAll(&tail);
  }
  EXPECT_EQ(read_, 12 * kMiB);
  EXPECT_EQ(dropped_, 0);
  EXPECT_LT(BlocksOnDisk(), kMiB) << "what was read is given back to the disk";
  EXPECT_EQ(static_cast<int64_t>(std::filesystem::file_size(Path())), printed_);
}

TEST_F(TailTest, WhatNobodyReadsIsDroppedOldestFirstAndCounted) {
  Tail tail(folder_, assignment_, kSmall);
  int64_t most = 0;
  for (int i = 0; i < 64; ++i) {
    Print(kMiB);
    tail.Trim();
    most = std::max(most, BlocksOnDisk());
  }
  EXPECT_LT(most, kSmall.spool_max + 2 * kMiB);
  ReadAll(&tail);
  EXPECT_GT(read_, 0);
  EXPECT_EQ(next_, printed_) << "the newest is kept";
  EXPECT_EQ(read_ + dropped_, printed_);
  EXPECT_LE(read_, kSmall.spool_max + kMiB);
}

TEST_F(TailTest, ARestartedAgentGoesOnBehindTheGap) {
  {
    Tail tail(folder_, assignment_, kSmall);
    Print(10 * kMiB);
    ReadAll(&tail);
  }
  const int64_t before = next_;
  next_ = read_ = dropped_ = 0;
  Tail tail(folder_, assignment_, kSmall);
  Print(16);
  ReadAll(&tail);
  EXPECT_EQ(next_, before + 16);
  EXPECT_LT(read_, kMiB) << "only what was kept behind is read twice";
}

TEST_F(TailTest, AFilePutInTheLogsPlaceKeepsItsBytes) {
  const std::string precious = folder_ + "/precious";
  Print(8 * kMiB);
  std::filesystem::rename(Path(), precious);
  std::filesystem::create_hard_link(precious, Path());
  Tail tail(folder_, assignment_, kSmall);
  ReadAll(&tail);
  EXPECT_GE(BlocksOnDisk(), 8 * kMiB);
}

}  // namespace
}  // namespace trainyard::worker
