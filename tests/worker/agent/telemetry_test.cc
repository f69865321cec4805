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

TEST_F(TelemetryTest, TheEndOfALogWaitsForWhoTakesIt) {
  telemetry_.OnDisconnected();
  const std::string all = std::string(20 << 20, 'x') + "\n";
  std::ofstream(folder_ + "/log/rank-0.out") << all;
  EXPECT_FALSE(telemetry_.Unsent(id_)) << "it has not ended";
  bool first = false;
  bool second = false;
  telemetry_.Finish(id_, absl::Hours(1), [&first] { first = true; });
  EXPECT_TRUE(telemetry_.Unsent(id_));
  telemetry_.Finish(id_, absl::Hours(1), [&second] { second = true; });
  text_.clear();  // nobody took it
  telemetry_.OnConnected();
  for (uint64_t acknowledged = 0; acknowledged < newest_;) {
    EXPECT_FALSE(second) << "before all of it was taken";
    telemetry_.OnAck(acknowledged = newest_);
  }
  EXPECT_FALSE(first) << "who asks again waits alone";
  EXPECT_TRUE(second);
  EXPECT_FALSE(telemetry_.Unsent(id_));
  EXPECT_EQ(text_.size(), all.size());
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
