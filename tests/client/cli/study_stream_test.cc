// The JSON-lines protocol of a study: each request line has its reply, and no mistake ends it.
#include "client/cli/study_stream.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "client/sdk/client.h"
#include "tests/client/cli/test_console.h"

namespace trainyard::cli {
namespace {

constexpr char kStudy[] = "projects/default/studies/s";

class StudyStreamTest : public testing::Test {
 protected:
  StudyStreamTest() : client_(server_.endpoint(), {}), stream_(&client_, kStudy, "w1") {
    v1::Study study;
    study.set_name(kStudy);
    server_.PutStudy(study, {});
  }
  nlohmann::json Ask(const std::string& line) { return nlohmann::json::parse(stream_.Reply(line)); }

  client::FakeServer server_;
  client::Client client_;
  StudyStream stream_;
};

TEST_F(StudyStreamTest, WholeLifeOfATrial) {
  EXPECT_EQ(stream_.Reply(R"({"ask": 2})"),
            R"({"trials":[{"id":1,"parameters":{"lr":0.25,"opt":"adam"}},)"
            R"({"id":2,"parameters":{"lr":0.5,"opt":"adam"}}]})");
  EXPECT_EQ(stream_.Reply(R"({"tell": 1, "step": 5, "metrics": {"loss": 0.31}})"),
            R"({"ok":true,"should_stop":false})");
  EXPECT_EQ(stream_.Reply(R"({"tell": 1, "step": 10, "metrics": {"loss": "nan"}})"),
            R"({"ok":true,"should_stop":true})");
  EXPECT_EQ(stream_.Reply(R"({"should_stop": 1})"), R"({"should_stop":true})");
  EXPECT_EQ(stream_.Reply(R"({"complete": 1, "metrics": {"loss": 0.2}})"), R"({"ok":true})");
  EXPECT_EQ(stream_.Reply(R"({"complete": 2, "infeasible": "oom"})"), R"({"ok":true})");
  EXPECT_EQ(stream_.Reply(R"({"best": 1})"),
            R"({"trials":[{"id":1,"parameters":{"lr":0.25,"opt":"adam"},)"
            R"("metrics":{"loss":0.2}}]})");
}

TEST_F(StudyStreamTest, MistakesAreAnsweredAndTheStreamGoesOn) {
  for (const char* line : {"",
                           "nonsense",
                           "[]",
                           "{}",
                           R"({"ask": 0})",
                           R"({"ask": "2"})",
                           R"({"ask": 1.5})",
                           R"({"ask": 99999999999})",
                           R"({"tell": 1})",
                           R"({"tell": 1, "metrics": {"loss": "x"}})",
                           R"({"tell": 1, "step": "a", "metrics": {"loss": 1}})",
                           R"({"tell": 1, "step": -1, "metrics": {"loss": 1}})",
                           R"({"tell": 1, "elapsed": "1 s", "metrics": {"loss": 1}})",
                           R"({"ask": 1, "best": 1})",
                           R"({"complete": 1, "metrics": {"loss": 1}, "infeasible": "x"})",
                           R"({"complete": 1, "infeasible": 3})",
                           R"({"tell": 77, "metrics": {"loss": 1}})",
                           R"({"best": -1})",
                           "{\"ask\": \xff}",
                           R"({"ask": 1, "ask": 2})",
                           R"({"tell": 1, "metrics": {"loss": 1, "loss": 2}})",
                           R"({"complete": 1, "metrics": {"loss": 1, "loss": 2}})"}) {
    const nlohmann::json reply = Ask(line);
    ASSERT_TRUE(reply.contains("error")) << line;
    EXPECT_FALSE(reply["error"]["reason"].get<std::string>().empty()) << line;
    EXPECT_FALSE(reply["error"]["message"].get<std::string>().empty()) << line;
  }
  EXPECT_TRUE(Ask(R"({"ask": 1})").contains("trials"));
}

TEST_F(StudyStreamTest, EachAskGivesOtherTrialsAndALaterStreamThoseThatAreOpen) {
  const auto ids = [](StudyStream* stream, const std::string& line) {
    std::vector<int> out;
    const nlohmann::json reply = nlohmann::json::parse(stream->Reply(line));
    for (const auto& trial : reply.at("trials")) out.push_back(trial.at("id"));
    return out;
  };
  EXPECT_EQ(ids(&stream_, R"({"ask": 1})"), (std::vector<int>{1}));
  EXPECT_EQ(ids(&stream_, R"({"ask": 2})"), (std::vector<int>{2, 3}));
  stream_.Reply(R"({"complete": 2, "metrics": {"loss": 1}})");
  EXPECT_EQ(ids(&stream_, R"({"ask": 1})"), (std::vector<int>{4}));
  StudyStream later(&client_, kStudy, "w1");
  EXPECT_EQ(ids(&later, R"({"ask": 2})"), (std::vector<int>{1, 3}));
  EXPECT_EQ(ids(&later, R"({"ask": 2})"), (std::vector<int>{4, 5}));
  StudyStream other(&client_, kStudy, "w2");
  EXPECT_EQ(ids(&other, R"({"ask": 1})"), (std::vector<int>{6}));
}

TEST_F(StudyStreamTest, CommandAnswersLineByLine) {
  const Result result = RunAgainst(server_, {"study", "stream", "s"},
                                   {R"({"ask": 1})", "bad", R"({"should_stop": 1})"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 3);
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(RunAgainst(server_, {"study", "stream", "absent"}, {}).code, 3);
}

}  // namespace
}  // namespace trainyard::cli
