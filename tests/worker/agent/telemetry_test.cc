// A program that prints many short lines: what it prints while its batches are on the way goes
// together, and nothing is lost or left behind.
#include "worker/agent/telemetry.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "common/clock.h"

namespace trainyard::worker {
namespace {

class TelemetryTest : public testing::Test {
 protected:
  TelemetryTest() : telemetry_(&loop_, [this](const agent::v1::TelemetryBatch& b) { Take(b); }) {
    char name[] = "/tmp/trainyard-telemetry-test-XXXXXX";
    folder_ = mkdtemp(name);
    std::filesystem::create_directory(folder_ + "/log");
    assignment_.add_ranks();
    telemetry_.Add(id_, folder_, assignment_);
    telemetry_.OnConnected();
  }
  ~TelemetryTest() override { std::filesystem::remove_all(folder_); }

  void Take(const agent::v1::TelemetryBatch& batch) {
    newest_ = batch.sequence();
    ++batches_;
    for (const agent::v1::LogChunk& chunk : batch.logs()) text_ += chunk.data();
  }
  void Print(const std::string& line) {
    std::ofstream(folder_ + "/log/rank-0.out", std::ios::app) << line << '\n';
    telemetry_.Poke(id_);
  }

  EventLoop loop_{&RealClock()};
  Telemetry telemetry_;
  MemberId id_{};
  agent::v1::Assignment assignment_;
  std::string folder_;
  std::string text_;
  uint64_t newest_ = 0;
  int batches_ = 0;
};

TEST_F(TelemetryTest, ShortLinesGoTogetherWhileBatchesAreOnTheWay) {
  std::string all;
  for (int i = 0; i < 100; ++i) {
    Print(std::to_string(i));
    all += std::to_string(i) + "\n";
  }
  EXPECT_EQ(batches_, 3) << "the first go at once";
  EXPECT_EQ(text_, "0\n1\n2\n");
  telemetry_.OnAck(1);
  EXPECT_EQ(batches_, 4) << "the rest goes together";
  EXPECT_EQ(text_, all);
  telemetry_.OnAck(newest_);
  Print("late");
  EXPECT_EQ(text_, all + "late\n") << "and then again at once";
}

TEST_F(TelemetryTest, OneMemberThatWaitsHoldsNoOtherBack) {
  for (int i = 0; i < 10; ++i) Print("loud");
  ASSERT_EQ(batches_, 3);
  const std::string folder = folder_ + "/other";
  std::filesystem::create_directories(folder + "/log");
  std::ofstream(folder + "/log/rank-0.out") << "quiet\n";
  MemberId other{};
  other.run_uid = 7;
  telemetry_.Add(other, folder, assignment_);
  telemetry_.Poke(other);
  EXPECT_EQ(batches_, 4);
  EXPECT_NE(text_.find("quiet"), std::string::npos);
}

}  // namespace
}  // namespace trainyard::worker
