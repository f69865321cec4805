// Tuning through the runtime: suggestions made ahead, trials run, asked and told.
#include "scheduler/runtime/study_desk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "scheduler/runtime/planner_view.h"
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

// It had no trial when it was submitted, and nothing else stirs.
TEST(StudyDeskTest, AHeldJobBeginsItsTrialsWhenItIsReleased) {
  Scene scene;
  scene.Connect("n1", 8);
  v1::JobSpec spec = MakeTuningSpec(2, 2);
  spec.mutable_scheduling()->set_hold(true);
  scene.Submit("a", spec);
  EXPECT_TRUE(scene.Ordered("n1").empty());
  core::SetQueueing wish{"default", "a", {}, 0};
  wish.queueing.set_hold(false);
  ASSERT_TRUE(scene.Do(wish).ok());
  scene.Step();
  EXPECT_FALSE(scene.Ordered("n1").empty());
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

// Whom placement takes devices from first: it sees it from the trial's curve.
TEST(StudyDeskTest, ATrialWhoseRungJustEndedIsSeenByPlacement) {
  Scene scene;
  scene.Connect("a", 4);
  v1::JobSpec spec = MakeTuningSpec(1, 1);
  v1::StudySpec::StoppingSpec* stopping = spec.mutable_study_spec()->mutable_stopping();
  stopping->set_kind(v1::StudySpec::ASHA);
  stopping->set_min_steps(2);
  stopping->set_max_steps(100);
  const uint64_t uid = scene.Submit("tune", spec);
  const auto ordered = scene.Ordered("a");
  ASSERT_THAT(ordered, ::testing::SizeIs(1));
  const auto seen_after = [&](int64_t step, bool wrote = true) {
    core::Principal system;
    system.is_system = true;
    const agent::v1::MemberKey& key = ordered[0].key();
    EXPECT_TRUE(
        scene
            .Do(core::ReportMeasurements{key.run_uid(), key.epoch(), {Measured(step, 0.5)}}, system)
            .ok());
    const core::State& state = scene.runtime().engine().state();
    journal::v1::RunRow run = *state.runs.at(key.run_uid());
    run.mutable_checkpoint()->set_epoch(key.epoch());
    run.mutable_checkpoint()->set_commit_us(wrote ? 1 : 0);
    return RunningOf(state, run, *state.jobs.at(uid), *state.specs.at(uid), 0).rung_ended;
  };
  EXPECT_FALSE(seen_after(1));
  EXPECT_TRUE(seen_after(2)) << "the first rung";
  EXPECT_FALSE(seen_after(3));
  EXPECT_FALSE(seen_after(5));
  EXPECT_TRUE(seen_after(7)) << "past 6";
  EXPECT_FALSE(seen_after(8));
  EXPECT_TRUE(seen_after(60)) << "past 18 and 54";
  EXPECT_FALSE(seen_after(200, /*wrote=*/false)) << "it would begin anew";
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
  const auto asked = scene.Do(core::AskTrials{"default", "s", 3, "me"});
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_THAT(asked->trials, ::testing::ElementsAre(1, 2, 3));
  EXPECT_EQ(asked->short_by, 0);
  for (const int32_t id : asked->trials) {
    EXPECT_EQ(scene.view().Trial(made->uid, id)->client_id(), "me") << "durable with the answer";
  }
  const auto again = scene.Do(core::AskTrials{"default", "s", 3, "me"});
  EXPECT_THAT(again->trials, ::testing::ElementsAre(1, 2, 3)) << "the same client, the same trials";
}

TEST(StudyDeskTest, ManyAsksAreAnsweredInTurnEachWithItsOwnTrials) {
  Scene scene;
  ASSERT_TRUE(scene.Do(core::CreateStudy{"default", "s", MakeStudy()}).ok());
  std::set<int32_t> seen;
  int answers = 0;
  for (int i = 0; i < 600; ++i) {  // more than one job makes
    core::Command command;
    command.principal.role = v1::ADMIN;
    command.body = core::AskTrials{"default", "s", 1, absl::StrCat("client", i)};
    scene.runtime().Post(command, [&](const absl::StatusOr<core::Reply>& reply) {
      ++answers;
      ASSERT_TRUE(reply.ok()) << reply.status();
      ASSERT_EQ(reply->trials.size(), 1u);
      EXPECT_TRUE(seen.insert(reply->trials[0]).second);
    });
  }
  scene.Step();
  EXPECT_EQ(answers, 600);
  EXPECT_EQ(*seen.rbegin(), 600) << "no more than were asked for";
}

TEST(StudyDeskTest, AsksOfAStudyThatEndsMeanwhileAreRefused) {
  Scene scene;
  ASSERT_TRUE(scene.Do(core::CreateStudy{"default", "s", MakeStudy()}).ok());
  std::vector<absl::StatusOr<core::Reply>> replies;
  core::Command command;
  command.principal.role = v1::ADMIN;
  for (const core::CommandBody& body : {core::CommandBody(core::AskTrials{"default", "s", 1, "me"}),
                                        core::CommandBody(core::DeleteStudy{"default", "s"})}) {
    command.body = body;
    scene.runtime().Post(command, [&](const auto& reply) { replies.push_back(reply); });
  }
  scene.Step();
  ASSERT_EQ(replies.size(), 2u) << "both were answered";
  EXPECT_EQ(std::count_if(replies.begin(), replies.end(), [](const auto& r) { return r.ok(); }), 1);
}

TEST(StudyDeskTest, SuggestionsAreTheSameAfterARestart) {
  const auto parameters = [](bool restart) {
    Scene scene;
    const auto made = scene.Do(core::CreateStudy{"default", "s", MakeStudy()});
    std::vector<double> out;
    for (int i = 0; i < 4; ++i) {
      if (restart && i == 2) scene.Restart();
      const auto asked = scene.Do(core::AskTrials{"default", "s", 1, absl::StrCat("client", i)});
      EXPECT_TRUE(asked.ok());
      out.push_back(scene.view().Trial(made->uid, asked->trials.at(0))->parameters(0).number());
    }
    return out;
  };
  EXPECT_EQ(parameters(false), parameters(true));
}

TEST(StudyDeskTest, EqualPointsOfAJobAreMeasuredOnce) {
  Scene scene;
  scene.Connect("a", 4);
  v1::JobSpec spec = MakeTuningSpec(4, 1);
  auto* parameter = spec.mutable_study_spec()->mutable_parameters(0);
  parameter->mutable_numbers()->add_values(0.1);
  parameter->mutable_numbers()->add_values(0.2);
  spec.mutable_study_spec()->set_duplicates(v1::StudySpec::REUSE);
  const uint64_t uid = scene.Submit("tune", spec);
  core::Principal system;
  system.is_system = true;
  std::set<int32_t> ran;
  for (int round = 0; round < 20 && scene.view().Job(uid)->state() != v1::SUCCEEDED; ++round) {
    for (const auto& member : scene.Ordered("a")) {
      if (!member.has_assignment()) continue;
      ran.insert(member.assignment().trial());
      EXPECT_TRUE(scene
                      .Do(
                          core::ReportMeasurements{
                              member.key().run_uid(), member.key().epoch(), {Measured(1, 0.5)}},
                          system)
                      .ok());
      scene.RunToSuccess("a", member.key());
    }
    scene.clock.Pass(absl::Seconds(5));
    scene.Step();
  }
  EXPECT_EQ(scene.view().Job(uid)->state(), v1::SUCCEEDED);
  const auto trials = scene.view().Trials(scene.view().Job(uid)->study_uid(), 0, 100);
  ASSERT_EQ(trials.size(), 4u);
  EXPECT_LT(ran.size(), 4u) << "two points, four trials";
  for (const auto& trial : trials) {
    EXPECT_EQ(trial->final_measurement().metrics(0).value(), 0.5);
    EXPECT_EQ(trial->same_as() == 0, ran.contains(trial->id())) << trial->id();
  }
}

TEST(StudyDeskTest, TellingIsAnsweredByTheRuleThatSawIt) {
  Scene scene;
  v1::StudySpec spec = MakeStudy();
  spec.mutable_stopping()->set_kind(v1::StudySpec::ASHA);
  spec.mutable_stopping()->set_min_steps(1);
  spec.mutable_stopping()->set_max_steps(9);
  ASSERT_TRUE(scene.Do(core::CreateStudy{"default", "s", spec}).ok());
  ASSERT_TRUE(scene.Do(core::AskTrials{"default", "s", 3, "me"}).ok());
  const auto stops = [&](int32_t trial, double accuracy) {
    const auto reply = scene.Do(core::AddMeasurement{"default", "s", trial, Measured(1, accuracy)});
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() && reply->should_stop;
  };
  EXPECT_FALSE(stops(1, 0.9));
  EXPECT_FALSE(stops(2, 0.8));
  EXPECT_TRUE(stops(3, 0.1)) << "at once, not with the next report";
  EXPECT_TRUE(stops(3, 0.1)) << "told again, nothing new";
}

TEST(StudyDeskTest, DeletedStudyLeavesMemoryAndRows) {
  Scene scene;
  const auto made = scene.Do(core::CreateStudy{"default", "s", MakeStudy()});
  ASSERT_TRUE(made.ok());
  ASSERT_TRUE(scene.Do(core::AskTrials{"default", "s", 3, "me"}).ok());
  ASSERT_TRUE(
      scene.Do(core::CompleteTrial{"default", "s", 1, true, Measured(1, 1), false, ""}).ok());
  EXPECT_EQ(scene.view().Trials(made->uid, 0, 10).size(), 3u);
  ASSERT_TRUE(scene.Do(core::DeleteStudy{"default", "s"}).ok());
  for (const bool restarted : {false, true}) {
    if (restarted) scene.Restart();
    EXPECT_EQ(scene.view().Study(made->uid), nullptr) << restarted;
    EXPECT_EQ(scene.view().StudyByName("default", "s"), nullptr) << restarted;
    EXPECT_TRUE(scene.view().Trials(made->uid, 0, 10).empty()) << restarted;
  }
  const auto again = scene.Do(core::CreateStudy{"default", "s", MakeStudy()});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(scene.view().StudyByName("default", "s")->uid(), again->uid);
  EXPECT_EQ(scene.Do(core::AskTrials{"default", "s", 1, "me"})->trials.at(0), 1);
}

TEST(StudyDeskTest, DeletedStudyStaysWhileAnotherLearnsFromIt) {
  Scene scene;
  v1::StudySpec spec = MakeStudy();
  const auto first = scene.Do(core::CreateStudy{"default", "first", spec});
  spec.set_algorithm(v1::StudySpec::GP);
  core::CreateStudy second{"default", "second", spec};
  second.earlier = {{first->uid}, scene.view().revision()};
  ASSERT_TRUE(scene.Do(second).ok());
  ASSERT_TRUE(scene.Do(core::DeleteStudy{"default", "first"}).ok());
  EXPECT_NE(scene.view().Study(first->uid), nullptr);
  ASSERT_TRUE(scene.Do(core::DeleteStudy{"default", "second"}).ok());
  scene.Step();
  EXPECT_EQ(scene.view().Study(first->uid), nullptr);
}

// Asks for one trial as a client of its own.
core::TrialPtr AskOne(Scene* scene, const std::string& study, const std::string& client) {
  const auto asked = scene->Do(core::AskTrials{"default", study, 1, client});
  if (!asked.ok() || asked->trials.empty()) return nullptr;
  return scene->view().Trial(asked->uid, asked->trials[0]);
}

// What a study suggests that learns from an earlier one, whose best trial is trial 6.
std::vector<double> Taught(bool restart, double* best) {
  Scene scene;
  v1::StudySpec spec = MakeStudy();
  spec.set_seed(5);
  const auto first = scene.Do(core::CreateStudy{"default", "first", spec});
  const auto complete = [&](int32_t trial, double value) {
    EXPECT_TRUE(
        scene
            .Do(core::CompleteTrial{"default", "first", trial, true, Measured(1, value), false, ""})
            .ok());
  };
  for (int i = 1; i <= 6; ++i) {
    const core::TrialPtr trial = AskOne(&scene, "first", absl::StrCat("c", i));
    complete(trial->id(), 0.1 * i);
    *best = trial->parameters(0).number();
  }
  spec.set_algorithm(v1::StudySpec::ALGORITHM_UNSPECIFIED);
  core::CreateStudy second{"default", "second", spec};
  second.earlier = {{first->uid}, scene.view().revision()};
  EXPECT_TRUE(scene.Do(second).ok());
  // What comes later does not count: else a restart would change what is suggested.
  const core::TrialPtr late = AskOne(&scene, "first", "late");
  if (restart) complete(late->id(), 0.9);
  std::vector<double> out;
  for (int i = 0; i < 6; ++i) {
    if (restart && i % 2 == 1) scene.Restart();
    const core::TrialPtr trial = AskOne(&scene, "second", absl::StrCat("d", i));
    out.push_back(trial->parameters(0).number());
    EXPECT_TRUE(scene
                    .Do(core::CompleteTrial{"default", "second", trial->id(), true,
                                            Measured(1, 0.1 * i), false, ""})
                    .ok());
  }
  return out;
}

TEST(StudyDeskTest, LearnsFromEarlierStudiesAsTheyWereWhenItWasMade) {
  double best = 0;
  const std::vector<double> once = Taught(false, &best);
  EXPECT_EQ(once[0], best) << "the earlier study's best point comes first";
  EXPECT_EQ(Taught(true, &best), once);
}

// A tuning job on one node, whose programs report one step at a time and leave checkpoints.
struct Halving {
  Scene scene;
  uint64_t study = 0;
  std::map<int32_t, agent::v1::MemberKey> keys;
  std::map<int32_t, int64_t> restored;  // step that the newest assignment begins at
  Halving() {
    scene.Connect("a", 4);
    v1::JobSpec spec = MakeTuningSpec(6, 1);
    auto* stopping = spec.mutable_study_spec()->mutable_stopping();
    stopping->set_kind(v1::StudySpec::ASHA);
    stopping->set_min_steps(1);
    stopping->set_max_steps(9);
    study = scene.view().Job(scene.Submit("tune", spec))->study_uid();
    Look();
  }
  void Look() {
    for (const auto& member : scene.Ordered("a")) {
      if (!member.has_assignment() || member.want() == agent::v1::STOPPED) continue;
      keys[member.assignment().trial()] = member.key();
      restored[member.assignment().trial()] = member.assignment().checkpoint_step();
    }
  }
  void Reach(int32_t trial, int64_t step, double accuracy) {
    agent::v1::Fact fact;
    *fact.mutable_key() = keys.at(trial);
    fact.mutable_running()->set_pid(1);
    scene.Tell("a", fact);
    fact.mutable_checkpoint_part()->set_step(step);
    fact.mutable_checkpoint_part()->set_tree(absl::StrCat("tree", step));
    scene.Tell("a", fact);
    core::Principal system;
    system.is_system = true;
    const agent::v1::MemberKey& key = keys.at(trial);
    EXPECT_TRUE(
        scene
            .Do(core::ReportMeasurements{key.run_uid(), key.epoch(), {Measured(step, accuracy)}},
                system)
            .ok());
    if (scene.view().Trial(study, trial)->held()) Leave(trial);
  }
  void Leave(int32_t trial) {
    agent::v1::Fact fact;
    *fact.mutable_key() = keys.at(trial);
    fact.mutable_exited()->mutable_record()->set_rank(-1);
    fact.mutable_exited()->set_stopped_on_request(true);
    scene.Tell("a", fact);
    fact.mutable_released();
    scene.Tell("a", fact);
    Look();
  }
  void Finish(int32_t trial) {
    scene.RunToSuccess("a", keys.at(trial));
    Look();
  }
  v1::TrialState state(int32_t trial) { return scene.view().Trial(study, trial)->state(); }
};

TEST(StudyDeskTest, AshaHoldsTrialsAndPromotesThemFromTheirCheckpoints) {
  Halving h;
  h.Reach(1, 1, 0.50);
  h.Finish(1);
  h.Reach(2, 1, 0.60);
  h.Finish(2);
  h.Reach(3, 1, 0.55);
  EXPECT_EQ(h.state(3), v1::REQUESTED) << "second of three: held";
  h.Reach(4, 1, 0.10);
  h.Reach(5, 1, 0.20);
  EXPECT_EQ(h.state(3), v1::REQUESTED);
  h.Reach(6, 1, 0.30);
  EXPECT_EQ(h.state(6), v1::REQUESTED);
  EXPECT_EQ(h.state(3), v1::ACTIVE) << "second of six: it goes on";
  EXPECT_EQ(h.restored[3], 1);
  h.scene.Restart();
  h.scene.Connect("a", 4);
  h.Look();
  h.Reach(3, 2, 0.56);
  EXPECT_EQ(h.state(3), v1::ACTIVE) << "until the next rung";
  h.Finish(3);
  for (const int32_t trial : {3, 4, 5, 6}) EXPECT_EQ(h.state(trial), v1::TRIAL_SUCCEEDED) << trial;
  EXPECT_FALSE(h.scene.view().Trial(h.study, 3)->stopped_early());
  EXPECT_TRUE(h.scene.view().Trial(h.study, 4)->stopped_early());
  EXPECT_EQ(h.scene.view().Study(h.study)->state(), v1::Study::COMPLETED_STUDY);
}

TEST(StudyDeskTest, OriginOfATrialReachesItsRow) {
  StudyJob job;
  auto study = std::make_shared<journal::v1::StudyRow>();
  study->set_uid(5);
  *study->mutable_spec() = MakeStudy();
  study->mutable_spec()->set_algorithm(v1::StudySpec::PBT);
  job.study = study;
  job.brain = std::make_shared<StudyBrain>();
  for (int32_t id = 1; id <= 4; ++id) {
    auto trial = std::make_shared<journal::v1::TrialRow>();
    trial->set_study_uid(5);
    trial->set_id(id);
    trial->set_state(v1::TRIAL_SUCCEEDED);
    auto* parameter = trial->add_parameters();
    parameter->set_parameter_id("lr");
    parameter->set_number(0.1 * id);
    *trial->mutable_final_measurement() = Measured(1, 0.1 * id);
    job.changed.push_back(std::move(trial));
  }
  job.first_trial = 5;
  job.count = 1;
  Scene scene;
  const StudyAnswer answer = Think(job, scene.view());
  ASSERT_EQ(answer.commands.size(), 1u);
  const auto& made = std::get<core::ApplySuggestions>(answer.commands[0]);
  ASSERT_EQ(made.suggestions.size(), 1u);
  EXPECT_GT(made.suggestions[0].origin(), 0);
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
  Scene scene;
  const StudyAnswer answer = Think(job, scene.view());
  if (answer.status.ok()) GTEST_SKIP() << "this optimiser is built in and takes an empty space";
  ASSERT_EQ(answer.commands.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<core::ApplyStudyStop>(answer.commands[0]));
}

}  // namespace
}  // namespace trainyard::runtime
