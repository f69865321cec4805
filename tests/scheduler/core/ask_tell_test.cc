// Ask and tell: trials handed to clients, what they tell, what is refused.
#include <gtest/gtest.h>

#include <cmath>

#include "common/errors.h"
#include "scheduler/core/study_machine.h"
#include "tests/scheduler/core/scene.h"

namespace trainyard::core {
namespace {

struct AskTell {
  Scene scene;
  uint64_t study = 0;
  AskTell() {
    study = scene.Do(CreateStudy{"default", "s", Spec().Study(1, 1).spec.study_spec()}).uid;
  }
  Reply Ask(int count, const std::string& client) {
    Reply reply = scene.Do(AskTrials{"default", "s", count, client});
    if (reply.short_by > 0) {
      scene.Suggest(study, reply.short_by);
      reply = scene.Do(AskTrials{"default", "s", count, client});
    }
    return reply;
  }
};

TEST(AskTellTest, SameClientGetsItsOpenTrials) {
  AskTell a;
  EXPECT_EQ(a.Ask(2, "c1").trials, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(a.Ask(2, "c1").trials, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(a.Ask(1, "c2").trials, (std::vector<int32_t>{3}));
  EXPECT_EQ(a.Ask(3, "c1").trials, (std::vector<int32_t>{1, 2, 4}));
}

TEST(AskTellTest, TellCompletesAndFreesTheClient) {
  AskTell a;
  a.Ask(1, "c");
  const Reply told = a.scene.Do(AddMeasurement{"default", "s", 1, Point(1, 0.5)});
  EXPECT_FALSE(told.should_stop);
  a.scene.Do(CompleteTrial{"default", "s", 1, false, {}, false, ""});
  EXPECT_EQ(a.scene.Trial(a.study, 1).state(), v1::TRIAL_SUCCEEDED);
  EXPECT_EQ(a.Ask(1, "c").trials, (std::vector<int32_t>{2}));
  a.scene.Do(CompleteTrial{"default", "s", 2, true, Point(1, 0.7), false, ""});
  EXPECT_EQ(a.scene.Trial(a.study, 2).final_measurement().metrics(0).value(), 0.7);
  a.Ask(1, "c");
  a.scene.Do(CompleteTrial{"default", "s", 3, false, {}, true, "crashed"});
  EXPECT_EQ(a.scene.Trial(a.study, 3).infeasible_reason(), "crashed");
}

v1::Measurement WithoutStep(double value) {
  v1::Measurement measurement = Point(0, value);
  measurement.clear_step();
  return measurement;
}

TEST(AskTellTest, CompletionWithoutAStepCountsAtTheLastOne) {
  AskTell a;
  a.Ask(2, "c");
  a.scene.Do(AddMeasurement{"default", "s", 1, Point(7, 0.5)});
  for (const int32_t trial : {1, 2}) {
    a.scene.Do(CompleteTrial{"default", "s", trial, true, WithoutStep(0.6), false, ""});
  }
  EXPECT_EQ(a.scene.Trial(a.study, 1).final_measurement().step(), 7);
  EXPECT_EQ(a.scene.Trial(a.study, 2).final_measurement().step(), 0) << "no step was told";
}

TEST(AskTellTest, MeasurementsWithoutAStepAreCounted) {
  AskTell a;
  a.Ask(1, "c");
  a.scene.Do(AddMeasurement{"default", "s", 1, WithoutStep(0.5)});
  a.scene.Do(AddMeasurement{"default", "s", 1, WithoutStep(0.5)});
  a.scene.Do(AddMeasurement{"default", "s", 1, Point(7, 0.6)});
  a.scene.Do(AddMeasurement{"default", "s", 1, WithoutStep(0.7)});
  std::vector<int64_t> steps;
  const records::TrialRow trial = a.scene.Trial(a.study, 1);
  for (const v1::Measurement& point : trial.measurements()) steps.push_back(point.step());
  EXPECT_EQ(steps, (std::vector<int64_t>{1, 2, 7, 8}));
  a.scene.Do(AddMeasurement{"default", "s", 1, Point(0, 0.1)});
  EXPECT_EQ(a.scene.Trial(a.study, 1).measurements(0).step(), 0) << "a step that is 0 is one";
}

TEST(AskTellTest, WhatDivergedIsInfeasible) {
  AskTell a;
  a.Ask(1, "c");
  a.scene.Do(CompleteTrial{"default", "s", 1, true, Point(1, std::nan("")), false, ""});
  EXPECT_EQ(a.scene.Trial(a.study, 1).state(), v1::INFEASIBLE);
  EXPECT_EQ(a.scene.Trial(a.study, 1).infeasible_reason(), "accuracy is not a finite number");
}

TEST(AskTellTest, OpenTrialsOfAFullStudyGoOn) {
  AskTell a;
  a.Ask(2, "c");
  a.scene.Suggest(a.study, 0, /*exhausted=*/true);
  a.scene.Do(ApplyStudyStop{a.study, "no progress"}, System());
  EXPECT_EQ(a.scene.Study(a.study).state(), v1::Study::INACTIVE_STUDY);
  EXPECT_FALSE(a.scene.Do(AddMeasurement{"default", "s", 1, Point(1, 0.5)}).should_stop);
  a.scene.Do(CompleteTrial{"default", "s", 1, false, {}, false, ""});
  EXPECT_FALSE(a.scene.Trial(a.study, 1).stopped_early());
}

TEST(AskTellTest, RefusesWhatMakesNoSense) {
  AskTell a;
  a.Ask(1, "c");
  const auto reason = [&](CommandBody body) {
    return ReasonOf(a.scene.Try(std::move(body)).status());
  };
  EXPECT_EQ(reason(CompleteTrial{"default", "s", 1, false, {}, false, ""}), "METRIC_MISSING");
  EXPECT_EQ(reason(AddMeasurement{"default", "s", 1, Point(1, 1, "loss")}), "METRIC_MISSING");
  v1::Measurement twice = Point(1, 1);
  *twice.add_metrics() = twice.metrics(0);
  EXPECT_EQ(reason(AddMeasurement{"default", "s", 1, twice}), "BAD_VALUE");
  EXPECT_EQ(reason(CompleteTrial{"default", "s", 1, true, twice, false, ""}), "BAD_VALUE");
  EXPECT_EQ(reason(CompleteTrial{"default", "s", 1, true, Point(1, 1, "loss"), false, ""}),
            "METRIC_MISSING");
  EXPECT_EQ(reason(AddMeasurement{"default", "s", 9, Point(1, 1)}), "NOT_FOUND");
  EXPECT_EQ(reason(AskTrials{"default", "s", 0, "c"}), "OUT_OF_RANGE");
  EXPECT_EQ(reason(AskTrials{"default", "x", 1, "c"}), "NOT_FOUND");
  a.scene.Do(CompleteTrial{"default", "s", 1, true, Point(1, 1), false, ""});
  EXPECT_EQ(reason(AddMeasurement{"default", "s", 1, Point(2, 1)}), "TRIAL_TERMINAL");
  EXPECT_EQ(reason(CompleteTrial{"default", "s", 1, true, Point(1, 2), false, ""}),
            "TRIAL_TERMINAL");
}

TEST(AskTellTest, StopAdviceReachesTheClientWithItsNextReport) {
  AskTell a;
  a.Ask(1, "c");
  a.scene.Do(AddMeasurement{"default", "s", 1, Point(1, 0.1)});
  a.scene.EarlyStop(a.study, 1);
  EXPECT_TRUE(a.scene.Do(AddMeasurement{"default", "s", 1, Point(2, 0.1)}).should_stop);
  a.scene.Do(CompleteTrial{"default", "s", 1, false, {}, false, ""});
  EXPECT_TRUE(a.scene.Trial(a.study, 1).stopped_early());
}

TEST(AskTellTest, RepeatedAskGivesTheSameTrials) {
  AskTell a;
  a.scene.Suggest(a.study, 3);
  const AskTrials ask{"default", "s", 2, "c"};
  const auto first = a.scene.Try(ask, Admin(), "r", "h");
  const auto again = a.scene.Try(ask, Admin(), "r", "h");
  EXPECT_EQ(first->reply.trials, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(again->reply.trials, first->reply.trials);
  EXPECT_TRUE(again->reply.repeated);
}

TEST(AskTellTest, CompleteStudyGivesNoMore) {
  AskTell a;
  a.scene.Suggest(a.study, 1, true);
  EXPECT_EQ(a.Ask(1, "c").trials.size(), 1u);
  EXPECT_EQ(ReasonOf(a.scene.Try(AskTrials{"default", "s", 1, "other"}).status()),
            "STUDY_COMPLETE");
  a.scene.Do(CompleteTrial{"default", "s", 1, true, Point(1, 1), false, ""});
  EXPECT_EQ(a.scene.Study(a.study).state(), v1::Study::COMPLETED_STUDY);
}

TEST(AskTellTest, DeletedStudyFreesItsName) {
  AskTell a;
  a.scene.Do(DeleteStudy{"default", "s"});
  EXPECT_FALSE(a.scene.Try(AskTrials{"default", "s", 1, "c"}).ok());
  EXPECT_TRUE(a.scene.Try(CreateStudy{"default", "s", Spec().Study(1, 1).spec.study_spec()}).ok());
}

TEST(AskTellTest, StudiesOfJobsAreTheJobs) {
  Scene scene;
  scene.Submit("t", Spec().Study(4, 2));
  scene.SuggestAll();
  EXPECT_FALSE(scene.Try(AskTrials{"default", "t", 1, "c"}).ok());
  EXPECT_FALSE(scene.Try(DeleteStudy{"default", "t"}).ok());
  EXPECT_FALSE(scene.Try(CompleteTrial{"default", "t", 1, true, Point(1, 1), false, ""}).ok());
}

TEST(AskTellTest, PointThatAJobMeasuredAlreadyIsNotRunAgain) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("t", Spec().Study(4, 1));
  scene.SuggestAll();
  scene.PlaceAll();
  const uint64_t study = scene.StudyOf("t");
  const uint64_t run = scene.Trial(study, 1).run_uid();
  scene.Running(run);
  scene.Report(run, 1, 0.5);
  scene.Succeed(run);
  ApplySuggestions suggestions;
  suggestions.study_uid = study;
  suggestions.first_trial = scene.Study(study).next_trial();
  suggestions.suggestions.emplace_back().set_same_as(1);
  scene.Do(suggestions, System());
  const records::TrialRow trial = scene.Trial(study, suggestions.first_trial);
  EXPECT_EQ(trial.state(), v1::TRIAL_SUCCEEDED);
  EXPECT_EQ(trial.run_uid(), 0u);
  EXPECT_EQ(trial.same_as(), 1);
  EXPECT_EQ(trial.final_measurement().metrics(0).value(), 0.5);
}

}  // namespace
}  // namespace trainyard::core
