// The JSON lines protocol of TuneSession: replies, errors that change nothing, stops.
#include "scheduler/tuning/tune_session.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "scheduler/tuning/earlier_study.h"
#include "tests/scheduler/tuning/builders.h"

namespace trainyard::tuning {
namespace {

using Json = nlohmann::json;

class TuneSessionTest : public testing::Test {
 protected:
  void Start(const SpecBuilder& builder) {
    auto made = TuneSession::Make(builder.spec(), 3);
    ASSERT_TRUE(made.ok()) << made.status();
    session_ = *std::move(made);
  }
  Json Send(const std::string& line) { return Json::parse(session_->Handle(line, 0)); }
  std::string Reason(const std::string& line) {
    const Json reply = Send(line);
    EXPECT_FALSE(reply["error"]["message"].get<std::string>().empty()) << line;
    return reply["error"]["reason"];
  }
  static SpecBuilder Small() {
    SpecBuilder builder;
    builder.Double("lr", 1e-4, 1, v1::StudySpec::LOG).Categories("opt", {"sgd", "adam"});
    builder.Integer("n", 1, 5);
    return builder;
  }
  std::unique_ptr<TuneSession> session_;
};

TEST_F(TuneSessionTest, NothingIsToldTwiceInOneLine) {
  Start(Small());
  Send(R"({"ask": 1})");
  EXPECT_EQ(Reason(R"({"ask": 1, "ask": 2})"), "INVALID_ARGUMENT");
  EXPECT_EQ(Reason(R"({"tell": 1, "metrics": {"loss": 1, "loss": 2}})"), "INVALID_ARGUMENT");
  EXPECT_EQ(Reason(R"({"complete": 1, "metrics": {"loss": 1, "loss": 2}})"), "INVALID_ARGUMENT");
  // One name in two objects is not twice.
  EXPECT_EQ(Send(R"({"complete": 1, "step": 1, "metrics": {"loss": 1, "step": 2}})").dump(),
            R"({"ok":true})");
}

TEST_F(TuneSessionTest, AskTellCompleteBest) {
  Start(Small());
  const Json asked = Send(R"({"ask": 2})");
  ASSERT_EQ(asked["trials"].size(), 2u);
  EXPECT_EQ(asked["trials"][0]["id"], 1);
  EXPECT_TRUE(asked["trials"][1]["parameters"]["lr"].is_number_float());
  EXPECT_TRUE(asked["trials"][1]["parameters"]["n"].is_number_integer());
  EXPECT_TRUE(asked["trials"][1]["parameters"]["opt"].is_string());
  EXPECT_EQ(Send(R"({"tell": 1, "step": 5, "metrics": {"loss": 0.31}})").dump(),
            R"({"ok":true,"should_stop":false})");
  EXPECT_EQ(Send(R"({"should_stop": 1})").dump(), R"({"should_stop":false})");
  EXPECT_EQ(Send(R"({"complete": 1, "metrics": {"loss": 0.5, "other": 3}})").dump(),
            R"({"ok":true})");
  EXPECT_EQ(Send(R"({"complete": 2, "metrics": {"loss": 0.2}})").dump(), R"({"ok":true})");
  const Json best = Send(R"({"best": 1})");
  ASSERT_EQ(best["trials"].size(), 1u);
  EXPECT_EQ(best["trials"][0]["id"], 2);
  EXPECT_EQ(best["trials"][0]["metrics"]["loss"], 0.2);
  EXPECT_EQ(best["trials"][0]["parameters"], asked["trials"][1]["parameters"]);
  EXPECT_EQ(Send(R"({"ask": 1})")["trials"][0]["id"], 3);
}

TEST_F(TuneSessionTest, WrongRequestsAreAnsweredAndTheStreamGoesOn) {
  Start(Small());
  Send(R"({"ask": 1})");
  EXPECT_EQ(Reason("what"), "INVALID_ARGUMENT");
  EXPECT_EQ(Reason("[]"), "INVALID_ARGUMENT");
  EXPECT_EQ(Reason("{}"), "INVALID_ARGUMENT");
  EXPECT_EQ(Reason(R"({"ask": 1, "best": 1})"), "INVALID_ARGUMENT");
  EXPECT_EQ(Reason(R"({"ask": "two"})"), "INVALID_ARGUMENT");
  EXPECT_EQ(Reason(R"({"ask": -1})"), "OUT_OF_RANGE");
  EXPECT_EQ(Reason(R"({"ask": 18446744073709551615})"), "OUT_OF_RANGE");
  EXPECT_EQ(Reason(R"({"tell": 9, "metrics": {"loss": 1}})"), "NOT_FOUND");
  EXPECT_EQ(Reason(R"({"tell": 1})"), "INVALID_ARGUMENT");
  EXPECT_EQ(Reason(R"({"tell": 1, "metrics": {"lost": 1}})"), "METRIC_MISSING");
  EXPECT_EQ(Reason(R"({"tell": 1, "metrics": {"loss": "bad"}})"), "INVALID_ARGUMENT");
  EXPECT_EQ(Reason(R"({"tell": 1, "step": -3, "metrics": {"loss": 1}})"), "INVALID_ARGUMENT");
  EXPECT_EQ(Reason(R"({"complete": 1})"), "METRIC_MISSING");
  EXPECT_EQ(Reason(R"({"complete": 1, "infeasible": 3})"), "INVALID_ARGUMENT");
  EXPECT_EQ(Reason(R"({"ask": 0})"), "OUT_OF_RANGE");
  EXPECT_EQ(Reason("{\"tell\": 1, \"metrics\": {\"lo\xff\": 1}}"), "INVALID_ARGUMENT");
  Send(R"({"complete": 1, "infeasible": "out of memory"})");
  EXPECT_EQ(Reason(R"({"complete": 1, "metrics": {"loss": 1}})"), "TRIAL_TERMINAL");
  EXPECT_EQ(Send(R"({"should_stop": 1})").dump(), R"({"should_stop":true})") << "it has ended";
  EXPECT_TRUE(Send(R"({"best": 3})")["trials"].empty());
  EXPECT_EQ(Send(R"({"ask": 1})")["trials"][0]["id"], 2);
}

TEST_F(TuneSessionTest, NumbersThatAreNoneMakeTheTrialInfeasible) {
  Start(Small());
  Send(R"({"ask": 3})");
  Send(R"({"complete": 1, "metrics": {"loss": "nan"}})");
  Send(R"({"complete": 2, "metrics": {"loss": "-inf"}})");
  Send(R"({"complete": 3, "metrics": {"loss": 7}})");
  const Json best = Send(R"({"best": 5})");
  ASSERT_EQ(best["trials"].size(), 1u);
  EXPECT_EQ(best["trials"][0]["id"], 3);
}

TEST_F(TuneSessionTest, HopelessTrialIsToldToStopAndCountsAsStopped) {
  SpecBuilder builder = Small();
  builder->mutable_stopping()->set_kind(v1::StudySpec::MEDIAN);
  Start(builder);
  Send(R"({"ask": 7})");
  for (int id = 1; id <= 5; ++id) {
    Send(absl::StrCat(R"({"tell": )", id, R"(, "step": 1, "metrics": {"loss": 1}})"));
    Send(absl::StrCat(R"({"complete": )", id, R"(, "metrics": {"loss": 1}})"));
  }
  EXPECT_EQ(Send(R"({"tell": 6, "step": 1, "metrics": {"loss": 2}})")["should_stop"], true);
  EXPECT_EQ(Send(R"({"tell": 7, "step": 1, "metrics": {"loss": 0.5}})")["should_stop"], false);
  Send(R"({"complete": 6, "metrics": {"loss": 0.1}})");
  const Json best = Send(R"({"best": 9})");
  ASSERT_EQ(best["trials"].size(), 6u);
  EXPECT_EQ(best["trials"][5]["id"], 6) << "stopped early: after those that ran to their end";
}

TEST_F(TuneSessionTest, StepToldAgainReplacesAndTheLastStepCounts) {
  Start(Small());
  Send(R"({"ask": 2})");
  for (const char* told :
       {R"("step": 2, "metrics": {"loss": 5}})", R"("step": 1, "metrics": {"loss": 9}})",
        R"("step": 2, "metrics": {"loss": 4}})"}) {
    Send(absl::StrCat(R"({"tell": 1, )", told));
  }
  Send(R"({"complete": 1})");
  Send(R"({"complete": 2, "metrics": {"loss": 6}})");
  const Json best = Send(R"({"best": 1})");
  EXPECT_EQ(best["trials"][0]["id"], 1);
  EXPECT_EQ(best["trials"][0]["metrics"]["loss"], 4);
}

TEST_F(TuneSessionTest, TrialIsJudgedByTheMeasurementThatTheSpecSelects) {
  SpecBuilder builder = Small();
  builder.Metric("size", v1::StudySpec::MINIMIZE);
  builder->set_selection(v1::StudySpec::BEST);
  Start(builder);
  Send(R"({"ask": 1})");
  Send(R"({"tell": 1, "step": 1, "metrics": {"loss": 5, "size": 8}})");
  Send(R"({"tell": 1, "step": 2, "metrics": {"loss": 3}})");
  Send(R"({"tell": 1, "step": 3, "metrics": {"loss": 4, "size": 9}})");
  Send(R"({"complete": 1, "metrics": {}})");
  const Json best = Send(R"({"best": 0})");
  ASSERT_EQ(best["trials"].size(), 1u);
  EXPECT_EQ(best["trials"][0]["metrics"].dump(), R"({"loss":3.0,"size":8.0})");
}

TEST_F(TuneSessionTest, FiniteSpaceEndsTheStudy) {
  SpecBuilder builder;
  builder.Integer("n", 1, 3).Algorithm(v1::StudySpec::GRID);
  Start(builder);
  const Json reply = Send(R"({"ask": 5})");
  EXPECT_EQ(reply["trials"].size(), 3u);
  EXPECT_TRUE(reply.contains("study_complete"));
}

TEST(EarlierStudyTest, TrialsAreReadAndFaultsNamed) {
  const std::string spec = R"({"spec": {"metrics": []}, "trials": )";
  auto study = ParseEarlierStudy(
      spec +
      R"([{"parameters": {"lr": 0.5, "n": 3, "opt": "sgd"}, "metrics": {"loss": 1, "time": 2}},
                 {"parameters": {"lr": 1}, "infeasible": "diverged"}]})");
  ASSERT_TRUE(study.ok()) << study.status();
  EXPECT_EQ(study->spec_text, R"({"metrics":[]})");
  ASSERT_EQ(study->trials.size(), 2u);
  EXPECT_EQ(ToText(study->trials[0].parameters), "lr=0.5 n=3 opt=sgd");
  EXPECT_EQ(study->trials[0].final_measurement->metrics_size(), 2);
  EXPECT_EQ(study->trials[1].state, v1::INFEASIBLE);
  for (const char* text : {"", "[]", R"({"trials": []})", R"({"spec": {}, "trials": 3})"}) {
    EXPECT_FALSE(ParseEarlierStudy(text).ok()) << text;
  }
  auto wrong = ParseEarlierStudy(spec + R"([{"parameters": {"lr": true}, "metrics": {}}]})");
  EXPECT_EQ(wrong.status().message(), "trials[0].parameters.lr is no number and no text");
  wrong = ParseEarlierStudy(spec + R"([{"parameters": {}}]})");
  EXPECT_EQ(wrong.status().message(), "trials[0] lacks \"parameters\" or \"metrics\"");
}

TEST(EarlierStudyTest, SessionBeginsWithWhatWasGood) {
  SpecBuilder builder;
  builder.Double("x", 0, 1);
  EarlierStudy earlier{builder.spec(), {}};
  for (int32_t id = 1; id <= 9; ++id) {
    v1::ParameterValue x;
    x.set_parameter_id("x");
    x.set_number(0.125 * (id - 1));
    earlier.trials.push_back(Succeeded(id, {x}, std::abs(x.number() - 0.25)));
  }
  auto session = TuneSession::Make(builder.spec(), 1, {earlier});
  ASSERT_TRUE(session.ok());
  EXPECT_EQ((*session)->Handle(R"({"ask": 1})", 0),
            R"({"trials":[{"id":1,"parameters":{"x":0.25}}]})");
}

}  // namespace
}  // namespace trainyard::tuning
