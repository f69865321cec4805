// Tuning through the runtime: suggestions made ahead, trials run, asked and told.
#include "scheduler/runtime/study_desk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/scheduler/runtime/scene.h"

namespace trainyard::runtime {
namespace {

v1::StudySpec MakeStudy() {
  v1::StudySpec study;
  v1::StudySpec::Metric* metric = study.add_metrics();
  metric->set_metric_id("accuracy");
  metric->set_goal(v1::StudySpec::MAXIMIZE);
  v1::StudySpec::Parameter* parameter = study.add_parameters();
  parameter->set_parameter_id("lr");
  parameter->mutable_double_range()->set_min(0.001);
  parameter->mutable_double_range()->set_max(1.0);
  study.set_algorithm(v1::StudySpec::RANDOM);
  return study;
}

v1::JobSpec MakeTuningSpec(int trials, int parallel) {
  v1::JobSpec spec = MakeSpec(1, 500);
  *spec.mutable_study_spec() = MakeStudy();
  spec.set_max_trial_count(trials);
  spec.set_parallel_trial_count(parallel);
  return spec;
}

v1::Measurement Measured(int64_t step, double accuracy) {
  v1::Measurement measurement;
  measurement.set_step(step);
  v1::MetricValue* value = measurement.add_metrics();
  value->set_metric_id("accuracy");
  value->set_value(accuracy);
  return measurement;
}

TEST(StudyDeskTest, TuningJobRunsAllItsTrials) {
  Scene scene;
  scene.Connect("a", 4);
  const uint64_t uid = scene.Submit("tune", MakeTuningSpec(6, 2));
  std::set<int32_t> seen;
  for (int round = 0; round < 20 && scene.view().Job(uid)->state() != v1::SUCCEEDED; ++round) {
    for (const auto& member : scene.Ordered("a")) {
      if (!member.has_assignment()) continue;
      const agent::v1::Assignment& assignment = member.assignment();
      EXPECT_TRUE(seen.insert(assignment.trial()).second);
      ASSERT_EQ(assignment.parameters_size(), 1);
      EXPECT_EQ(assignment.parameters(0).parameter_id(), "lr");
      core::Principal system;
      system.is_system = true;
      ASSERT_TRUE(scene
                      .Do(core::ReportMeasurements{member.key().run_uid(),
                                                   member.key().epoch(),
                                                   {Measured(1, 0.1 * assignment.trial())}},
                          system)
                      .ok());
      scene.RunToSuccess("a", member.key());
    }
    scene.clock.Pass(absl::Seconds(5));
    scene.Step();
  }
  EXPECT_EQ(scene.view().Job(uid)->state(), v1::SUCCEEDED);
  EXPECT_EQ(seen.size(), 6u);
  const auto trials = scene.view().Trials(scene.view().Job(uid)->study_uid(), 0, 100);
  ASSERT_EQ(trials.size(), 6u);
  std::set<double> rates;
  for (const auto& trial : trials) {
    EXPECT_EQ(trial->state(), v1::TRIAL_SUCCEEDED);
    rates.insert(trial->parameters(0).number());
  }
  EXPECT_EQ(rates.size(), 6u) << "every trial has parameters of its own";
}

TEST(StudyDeskTest, OnlyParallelTrialsRunAtOnce) {
  Scene scene;
  scene.Connect("a", 16);
  scene.Submit("tune", MakeTuningSpec(10, 3));
  EXPECT_EQ(scene.view().RunsOnNode("a").size(), 3u);
}

TEST(StudyDeskTest, AskedTrialsAreMadeOnDemand) {
  Scene scene;
  const auto made = scene.Do(core::CreateStudy{"default", "s", MakeStudy()});
  ASSERT_TRUE(made.ok()) << made.status();
  auto asked = scene.Do(core::AskTrials{"default", "s", 3, "me"});
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_EQ(asked->short_by, 3);
  absl::Status ensured = absl::UnknownError("not called");
  scene.runtime().EnsureSuggestions(made->uid, asked->short_by,
                                    [&](absl::Status status) { ensured = status; });
  scene.Step();
  EXPECT_TRUE(ensured.ok()) << ensured;
  asked = scene.Do(core::AskTrials{"default", "s", 3, "me"});
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_THAT(asked->trials, ::testing::ElementsAre(1, 2, 3));
  const auto again = scene.Do(core::AskTrials{"default", "s", 3, "me"});
  EXPECT_THAT(again->trials, ::testing::ElementsAre(1, 2, 3)) << "the same client, the same trials";
}

TEST(StudyDeskTest, SuggestionsAreTheSameAfterARestart) {
  const auto parameters = [](bool restart) {
    Scene scene;
    const auto made = scene.Do(core::CreateStudy{"default", "s", MakeStudy()});
    std::vector<double> out;
    for (int i = 0; i < 4; ++i) {
      if (restart && i == 2) scene.Restart();
      scene.runtime().EnsureSuggestions(made->uid, 1, [](absl::Status) {});
      scene.Step();
      const auto asked = scene.Do(core::AskTrials{"default", "s", 1, absl::StrCat("client", i)});
      EXPECT_TRUE(asked.ok());
      out.push_back(scene.view().Trial(made->uid, asked->trials.at(0))->parameters(0).number());
    }
    return out;
  };
  EXPECT_EQ(parameters(false), parameters(true));
}

TEST(StudyDeskTest, ImpossibleStudyEndsInsteadOfHanging) {
  StudyJob job;
  auto study = std::make_shared<journal::v1::StudyRow>();
  study->set_uid(5);
  *study->mutable_spec() = MakeStudy();
  study->mutable_spec()->clear_parameters();
  study->mutable_spec()->clear_metrics();
  study->mutable_spec()->set_algorithm(v1::StudySpec::PBT);
  job.study = study;
  job.brain = std::make_shared<StudyBrain>();
  job.count = 1;
  const StudyAnswer answer = Think(job);
  if (answer.status.ok()) GTEST_SKIP() << "this optimiser is built in and takes an empty space";
  ASSERT_EQ(answer.commands.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<core::ApplyStudyStop>(answer.commands[0]));
}

}  // namespace
}  // namespace trainyard::runtime
