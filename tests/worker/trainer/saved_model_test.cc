// Models on disk: read back bit for bit, refused with a reason when they are none.
#include "worker/trainer/saved_model.h"

#include <cstdlib>
#include <string>

#include "absl/strings/str_replace.h"
#include "common/errors.h"
#include "common/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::trainer {
namespace {

class SavedModelTest : public testing::Test {
 protected:
  SavedModelTest() {
    std::string pattern = testing::TempDir() + "/model.XXXXXX";
    folder_ = mkdtemp(pattern.data());
    model_.architecture = {"cnn", 64, 3, {8}, 2};
    model_.parameters = FirstParameters(model_.architecture, 3);
    model_.normalisation = {std::vector<float>(64, 0.1F), std::vector<float>(64, 0.3F)};
    model_.classes = {"a", "b", "c"};
    model_.split_seed = 9;
    model_.validation_fraction = 0.1;
    model_.test_fraction = 0.3;
    model_.epoch = 4;
    model_.validation_accuracy = 1.0 / 3;
  }
  ~SavedModelTest() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }

  std::string folder_;
  SavedModel model_;
};

TEST_F(SavedModelTest, ReadsWhatItWrote) {
  ASSERT_TRUE(WriteModel(folder_ + "/m", model_).ok());
  const auto read = ReadModel(folder_ + "/m");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->parameters, model_.parameters);
  EXPECT_EQ(read->architecture.Text(), model_.architecture.Text());
  EXPECT_EQ(read->normalisation.scale, model_.normalisation.scale);
  EXPECT_EQ(read->classes, model_.classes);
  EXPECT_EQ(read->split_seed, 9);
  EXPECT_EQ(read->test_fraction, 0.3);
  EXPECT_EQ(read->validation_accuracy, 1.0 / 3);
}

TEST_F(SavedModelTest, RefusesWhatIsNoModel) {
  EXPECT_EQ(ReasonOf(ReadModel(folder_ + "/absent").status()), "NOT_FOUND");
  ASSERT_TRUE(WriteModel(folder_, model_).ok());
  const auto text = ReadFile(folder_ + "/model.json");
  ASSERT_TRUE(text.ok());
  const std::pair<const char*, const char*> changes[] = {
      {"trainyard-model-1", "other"},
      {"\"features\": 64", "\"features\": 63"},
      {"\"features\": 64", "\"features\": 100"},
      {"\"kind\": \"cnn\"", "\"kind\": \"rnn\""},
      {"\"channels\"", "\"chanels\""},
      {"\"split_seed\": 9", "\"split_seed\": \"9\""},
      {"{", "["},
  };
  for (const auto& [from, to] : changes) {
    const std::string changed = absl::StrReplaceAll(*text, {{from, to}});
    ASSERT_NE(changed, *text) << from;
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/model.json", changed).ok());
    EXPECT_EQ(ReasonOf(ReadModel(folder_).status()), "BAD_VALUE") << from;
  }
}

}  // namespace
}  // namespace trainyard::trainer
