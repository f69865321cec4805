// What a shell is offered: commands, flags, choices, names from the scheduler.
#include "client/cli/complete_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/client/cli/test_console.h"

namespace trainyard::cli {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

class CompleteWordsTest : public testing::Test {
 protected:
  CompleteWordsTest() {
    for (const char* name : {"iris_1", "iris_2", "digits"}) {
      v1::Job job;
      job.set_name(std::string("projects/default/jobs/") + name);
      server_.PutJob(job);
    }
  }
  std::vector<std::string> Offer(const std::vector<std::string>& typed) {
    Context context(&console_, server_.environment());
    return CompleteWords(&context, typed);
  }
  client::FakeServer server_;
  TestConsole console_;
};

TEST_F(CompleteWordsTest, CommandsStepByStep) {
  EXPECT_THAT(Offer({"jo"}), ElementsAre("jobs", "join-token"));
  EXPECT_THAT(Offer({"jobs", "des"}), ElementsAre("describe"));
  EXPECT_THAT(Offer({"jobs", "submit", ""}), ElementsAre("training"));
  EXPECT_THAT(Offer({""}), Contains("hp-tuning-jobs"));
  EXPECT_THAT(Offer({""}), Not(Contains("__complete")));
  EXPECT_THAT(Offer({"nothing", ""}), IsEmpty());
}

TEST_F(CompleteWordsTest, NamesOfJobsComeFromTheScheduler) {
  EXPECT_THAT(Offer({"jobs", "describe", "iris"}), ElementsAre("iris_1", "iris_2"));
  EXPECT_THAT(Offer({"jobs", "cancel", "digits", "iris_1"}), ElementsAre("iris_1"));
  EXPECT_THAT(Offer({"jobs", "describe", "iris_1", ""}), IsEmpty());
  EXPECT_THAT(Offer({"jobs", "logs", "-f", "--tail", "3", "d"}), ElementsAre("digits"));
}

TEST_F(CompleteWordsTest, FlagsAndChoices) {
  EXPECT_THAT(Offer({"jobs", "list", "--st"}), ElementsAre("--state"));
  EXPECT_THAT(Offer({"jobs", "list", "-o", "j"}), ElementsAre("json", "jsonl"));
  EXPECT_THAT(Offer({"jobs", "submit", "training", "--package-p"}), ElementsAre("--package-path"));
}

TEST_F(CompleteWordsTest, NoSchedulerIsNoError) {
  server_.Stop();
  EXPECT_THAT(Offer({"jobs", "describe", "iris"}), IsEmpty());
}

TEST_F(CompleteWordsTest, ScriptsOfTheShellsAskUs) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Result result = RunAgainst(server_, {"completion", shell});
    EXPECT_EQ(result.code, 0);
    EXPECT_NE(result.out.find("trainyard __complete -- "), std::string::npos);
  }
  EXPECT_EQ(RunAgainst(server_, {"completion", "tcsh"}).code, 2);
  EXPECT_EQ(RunAgainst(server_, {"__complete", "--", "jobs", "describe", "iris"}).out,
            "iris_1\niris_2\n");
}

}  // namespace
}  // namespace trainyard::cli
