// The command line of trainyard-train: both spellings, every wrong input one clear answer.
#include "worker/trainer/options.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "common/errors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::trainer {
namespace {

TEST(OptionsTest, BothSpellingsOfAFlag) {
  const auto options = ParseOptions({"--data=a.csv", "--model", "cnn", "--hidden=128,64",
                                     "--learning_rate", "0.5", "--job_dir=/x", "--epochs=7.0"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->data, "a.csv");
  EXPECT_EQ(options->model, "cnn");
  EXPECT_EQ(options->hidden, (std::vector<int64_t>{128, 64}));
  EXPECT_EQ(options->learning_rate, 0.5);
  EXPECT_EQ(options->job_dir, "/x");
  EXPECT_EQ(options->epochs, 7) << "tuners may write whole numbers with a point";
}

TEST(OptionsTest, LastOneWins) {
  const auto options = ParseOptions({"--data=a", "--epochs=3", "--epochs=4"});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->epochs, 4);
}

TEST(OptionsTest, WrongInputsAreNamed) {
  struct Row {
    std::string argument;
    const char* reason;
    const char* said;
  };
  const Row rows[] = {
      {"--learning_rat=1", "ARGUMENT_REFUSED", "did you mean --learning_rate?"},
      {"--wholly_else=1", "ARGUMENT_REFUSED", "unrecognized arguments: --wholly_else=1"},
      {"positional", "ARGUMENT_REFUSED", "unrecognized arguments: positional"},
      {"--model=mpl", "BAD_VALUE", "one of logistic, mlp, cnn, resnet, transformer"},
      {"--precision=float16", "BAD_VALUE", "one of float32, bfloat16, auto"},
      {"--schedule=cosin", "BAD_VALUE", "one of constant, cosine, linear, step"},
      {"--context=0", "BAD_VALUE", "from 1"},
      {"--warmup_epochs=31", "OUT_OF_RANGE", "longer than --epochs"},
      {"--learning_rate=0", "BAD_VALUE", "above 0"},
      {"--learning_rate=nan", "BAD_VALUE", "above 0"},
      {"--momentum=1", "BAD_VALUE", "from 0"},
      {"--epochs=2.5", "BAD_VALUE", "whole number"},
      {"--epochs=0", "BAD_VALUE", "from 1"},
      {"--hidden=64,", "BAD_VALUE", "64 or 128,64"},
      {"--hidden=0", "BAD_VALUE", "64 or 128,64"},
      {"--batch_size", "BAD_VALUE", "lacks its value"},
      {"--test_fraction=1", "BAD_VALUE", "below 1"},
      {"--test_fraction=0.9", "OUT_OF_RANGE", "leave nothing to train on"},
  };
  for (const Row& row : rows) {
    const auto options = ParseOptions({"--data=a", row.argument});
    ASSERT_FALSE(options.ok()) << row.argument;
    const v1::Faults faults = FaultsOf(options.status());
    ASSERT_EQ(faults.faults_size(), 1) << FormatFaults(faults);
    EXPECT_EQ(faults.faults(0).reason(), row.reason) << row.argument;
    EXPECT_THAT(FormatFaults(faults), testing::HasSubstr(row.said));
    EXPECT_FALSE(faults.faults(0).fix().empty());
  }
}

TEST(OptionsTest, AllFaultsAtOnce) {
  const auto options = ParseOptions({"--dta", "a.csv", "--epochs=x", "--seed=-1"});
  ASSERT_FALSE(options.ok());
  EXPECT_EQ(FaultsOf(options.status()).faults_size(), 4) << "and there is no --data";
}

TEST(OptionsTest, HelpIsShortAndNamesEveryFlag) {
  const std::vector<std::string> lines = absl::StrSplit(HelpText(), '\n');
  EXPECT_LT(lines.size(), 60u);
  EXPECT_TRUE(std::all_of(lines.begin(), lines.end(),
                          [](const std::string& line) { return line.size() <= 100; }));
  const auto options = ParseOptions({"--help"});
  ASSERT_TRUE(options.ok());
  EXPECT_TRUE(options->help);
}

}  // namespace
}  // namespace trainyard::trainer
