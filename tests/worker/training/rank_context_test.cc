// What a rank reads from its environment, and how it answers a contradictory one.
#include "worker/training/rank_context.h"

#include <map>
#include <string>

#include "common/errors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::training {
namespace {

absl::StatusOr<RankContext> From(const std::map<std::string, std::string>& variables) {
  return RankContextFrom([&variables](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(RankContextTest, NothingSetIsOneRankAlone) {
  const auto context = From({});
  ASSERT_TRUE(context.ok());
  EXPECT_EQ(context->rank, 0);
  EXPECT_EQ(context->world_size, 1);
  EXPECT_TRUE(context->one_node());
  EXPECT_FALSE(context->resume_step.has_value());
}

TEST(RankContextTest, ReadsWhatALauncherSets) {
  const auto context = From({{"RANK", "3"},
                             {"WORLD_SIZE", "4"},
                             {"LOCAL_RANK", "1"},
                             {"LOCAL_WORLD_SIZE", "2"},
                             {"AIP_MODEL_DIR", "/out/model/"},
                             {"TRAINYARD_RESUME_STEP", "17"},
                             {"OMPI_COMM_WORLD_RANK", "9"}});
  ASSERT_TRUE(context.ok()) << context.status();
  EXPECT_EQ(context->rank, 3);
  EXPECT_EQ(context->local_rank, 1);
  EXPECT_FALSE(context->one_node());
  EXPECT_EQ(context->model_dir, "/out/model");
  EXPECT_EQ(context->resume_step, 17);
}

TEST(RankContextTest, FallsBackToOpenMpi) {
  const auto context = From({{"OMPI_COMM_WORLD_RANK", "1"},
                             {"OMPI_COMM_WORLD_SIZE", "2"},
                             {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                             {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}});
  ASSERT_TRUE(context.ok()) << context.status();
  EXPECT_EQ(context->rank, 1);
  EXPECT_EQ(context->world_size, 2);
  EXPECT_TRUE(context->one_node());
}

TEST(RankContextTest, NamesTheVariableThatIsWrong) {
  struct Row {
    const char* name;
    std::map<std::string, std::string> variables;
    const char* named;
  };
  const Row rows[] = {
      {"no number", {{"RANK", "one"}}, "RANK=one"},
      {"negative", {{"WORLD_SIZE", "-2"}}, "WORLD_SIZE=-2"},
      {"empty world", {{"WORLD_SIZE", "0"}}, "WORLD_SIZE=0"},
      {"rank outside", {{"RANK", "2"}, {"WORLD_SIZE", "2"}}, "RANK=2"},
      {"local world too large", {{"LOCAL_WORLD_SIZE", "3"}}, "LOCAL_WORLD_SIZE=3"},
      {"local rank outside", {{"LOCAL_RANK", "1"}}, "LOCAL_RANK=1"},
      {"bad step", {{"TRAINYARD_RESUME_STEP", "x"}}, "TRAINYARD_RESUME_STEP=x"},
  };
  for (const Row& row : rows) {
    const auto context = From(row.variables);
    ASSERT_FALSE(context.ok()) << row.name;
    EXPECT_THAT(std::string(context.status().message()), testing::HasSubstr(row.named));
    EXPECT_EQ(ReasonOf(context.status()), "BAD_VALUE") << row.name;
  }
}

TEST(RankContextTest, GangNamesDifferBetweenLaunches) {
  const auto a = From({{"TRAINYARD_JOB", "j"}, {"TRAINYARD_EPOCH", "1"}, {"MASTER_PORT", "5"}});
  const auto b = From({{"TRAINYARD_JOB", "j"}, {"TRAINYARD_EPOCH", "2"}, {"MASTER_PORT", "5"}});
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_NE(a->gang, b->gang);
}

}  // namespace
}  // namespace trainyard::training
