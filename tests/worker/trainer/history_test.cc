// history.jsonl: lines are added exactly, epochs that are trained again and broken lines go.
#include "worker/trainer/history.h"

#include <stdlib.h>

#include <limits>
#include <string>

#include "common/file.h"
#include "gtest/gtest.h"

namespace trainyard::trainer {
namespace {

class HistoryTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/history_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { ASSERT_TRUE(RemoveTree(folder_).ok()); }

  std::string Text() const { return *ReadFile(JoinPath(folder_, "history.jsonl")); }

  std::string folder_;
};

TEST_F(HistoryTest, LinesAreAddedWithAllTheirDigits) {
  ASSERT_TRUE(AppendHistory(folder_, {1, 0.1, 2, std::numeric_limits<double>::quiet_NaN()}).ok());
  ASSERT_TRUE(AppendHistory(folder_, {2, 0.5, 0.25, 1}).ok());
  EXPECT_EQ(Text(),
            "{\"epoch\":1,\"train_loss\":0.10000000000000001,\"loss\":2,\"accuracy\":null}\n"
            "{\"epoch\":2,\"train_loss\":0.5,\"loss\":0.25,\"accuracy\":1}\n");
  EXPECT_FALSE(AppendHistory(folder_ + "/absent", {1, 0, 0, 0}).ok());
}

TEST_F(HistoryTest, EpochsThatAreTrainedAgainGo) {
  EXPECT_TRUE(TrimHistory(folder_, 3).ok()) << "there is no file yet";
  for (int64_t epoch = 1; epoch <= 5; ++epoch) {
    ASSERT_TRUE(AppendHistory(folder_, {epoch, 1, 1, 1}).ok());
  }
  const std::string whole = Text();
  ASSERT_TRUE(TrimHistory(folder_, 5).ok());
  EXPECT_EQ(Text(), whole);
  ASSERT_TRUE(TrimHistory(folder_, 2).ok());
  EXPECT_EQ(Text(), whole.substr(0, whole.size() / 5 * 2));
  ASSERT_TRUE(TrimHistory(folder_, 0).ok());
  EXPECT_EQ(Text(), "");
}

TEST_F(HistoryTest, LinesOfAKilledRunGo) {
  ASSERT_TRUE(AppendHistory(folder_, {1, 1, 1, 1}).ok());
  const std::string first = Text();
  ASSERT_TRUE(
      WriteFileAtomically(JoinPath(folder_, "history.jsonl"), first + "{\"epoch\":2,\"tra").ok());
  ASSERT_TRUE(TrimHistory(folder_, 9).ok());
  EXPECT_EQ(Text(), first);
}

}  // namespace
}  // namespace trainyard::trainer
