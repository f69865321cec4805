// Studies and their trials: activation, measurements, verdicts, failures, early stops, holds. Ask
// and tell is in ask_tell_test.cc.
#include "scheduler/core/study_machine.h"

#include <gtest/gtest.h>

#include <cmath>

#include "scheduler/core/measurements.h"
#include "tests/scheduler/core/scene.h"

namespace trainyard::core {
namespace {

// A tuning job "t" with its first suggestions, all placed on one large node.
struct Tuning {
  Scene scene;
  uint64_t study = 0;
  Tuning(int64_t trials, int64_t parallel, Spec spec = Spec(), int64_t max_failed = 0) {
    scene.Node("n1", 64);
    if (!spec.spec.has_study_spec()) {  // works ahead
      spec.spec.mutable_study_spec()->set_algorithm(v1::StudySpec::RANDOM);
    }
    scene.Submit("t", spec.Study(trials, parallel, max_failed));
    study = scene.StudyOf("t");
    scene.SuggestAll();
    scene.PlaceAll();
  }
  uint64_t run(int32_t trial) { return scene.Trial(study, trial).run_uid(); }
  void Start(int32_t trial) {
    scene.PlaceAll();
    scene.Running(run(trial));
  }
  void Finish(int32_t trial, double accuracy) {
    const uint64_t uid = run(trial);
    Start(trial);
    scene.Report(uid, 1, accuracy);
    scene.Succeed(uid);
    scene.Release(uid);
    scene.SuggestAll();
  }
  void Fail(int32_t trial, const std::string& why = "it broke") {
    Start(trial);
    scene.Exit(run(trial), 0, Failure(v1::USER_ERROR, why));
    scene.Release(run(trial));
    scene.SuggestAll();
  }
  v1::TrialState state(int32_t trial) { return scene.Trial(study, trial).state(); }
};

wire::Exited GoodExit(std::vector<std::string> seen, int64_t last_step) {
  wire::Exited exited;
  exited.mutable_record()->set_rank(-1);
  exited.set_last_step(last_step);
  for (std::string& name : seen) exited.add_metrics_seen(std::move(name));
  return exited;
}

TEST(StudyMachineTest, RunsInParallelAndKeepsSuggestionsAhead) {
  Tuning t(8, 3);
  EXPECT_EQ(t.scene.Study(t.study).counts().active(), 3);
  EXPECT_EQ(t.scene.Study(t.study).counts().requested(), 3);
  EXPECT_TRUE(NeededSuggestions(t.scene.state()).empty());
  EXPECT_EQ(t.scene.state().waiting_runs.size() + t.scene.state().active_runs.size(), 3u);
  t.Finish(1, 0.5);
  EXPECT_EQ(t.state(4), v1::ACTIVE);
  EXPECT_EQ(t.scene.Study(t.study).counts().requested(), 3);
}

TEST(StudyMachineTest, AlgorithmsThatLearnAreNotAskedAhead) {
  Spec spec;
  spec.spec.mutable_study_spec()->set_algorithm(v1::StudySpec::GP);
  Tuning t(8, 3, spec);
  EXPECT_EQ(t.scene.Study(t.study).counts().active(), 3);
  EXPECT_EQ(t.scene.Study(t.study).counts().requested(), 0);
}

TEST(StudyMachineTest, AllTrialsDoneIsSuccess) {
  Tuning t(3, 2);
  for (int trial = 1; trial <= 3; ++trial) t.Finish(trial, 0.1 * trial);
  EXPECT_EQ(t.scene.Job("t").state(), v1::SUCCEEDED);
  EXPECT_EQ(t.scene.Study(t.study).state(), v1::Study::COMPLETED_STUDY);
  EXPECT_EQ(t.scene.Study(t.study).counts().succeeded(), 3);
  EXPECT_DOUBLE_EQ(t.scene.Trial(t.study, 3).final_measurement().metrics(0).value(), 0.1 * 3);
  EXPECT_TRUE(MayForget(t.scene.state(), t.scene.Job("t").uid()));
  t.scene.ForgetTerminal();
  EXPECT_TRUE(t.scene.state().trials.empty());
  EXPECT_TRUE(t.scene.state().runs.empty());
}

TEST(StudyMachineTest, JobStateFollowsTheTrials) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("t", Spec().Study(2, 1));
  EXPECT_EQ(scene.Job("t").state(), v1::QUEUED);
  scene.SuggestAll();
  scene.PlaceAll();
  EXPECT_EQ(scene.Job("t").state(), v1::PREPARING);
  const uint64_t run = scene.Trial(scene.StudyOf("t"), 1).run_uid();
  scene.Running(run);
  EXPECT_EQ(scene.Job("t").state(), v1::RUNNING);
  scene.Report(run, 1, 0.5);
  scene.Succeed(run);
  EXPECT_EQ(scene.Job("t").state(), v1::RUNNING) << "between trials";
}

TEST(StudyMachineTest, MetricThatNeverCameIsInfeasibleWithTheNamesSeen) {
  Tuning t(4, 1);
  t.Start(1);
  t.scene.ExitWith(t.run(1), 0, GoodExit({"loss", "acc"}, 3));
  EXPECT_EQ(t.state(1), v1::INFEASIBLE);
  EXPECT_EQ(t.scene.Trial(t.study, 1).infeasible_reason(),
            "METRIC_MISSING: the program never reported accuracy; it reported acc, loss");
}

TEST(StudyMachineTest, WaitsForMeasurementsThatAreStillOnTheirWay) {
  Tuning t(4, 1);
  t.Start(1);
  t.scene.ExitWith(t.run(1), 0, GoodExit({"accuracy"}, 3));
  EXPECT_EQ(t.state(1), v1::ACTIVE) << "seen by the agent, not yet here";
  t.scene.Report(t.run(1), 2, 0.7);
  EXPECT_EQ(t.state(1), v1::ACTIVE);
  t.scene.Report(t.run(1), 3, 0.8);
  EXPECT_EQ(t.state(1), v1::TRIAL_SUCCEEDED);
  EXPECT_EQ(t.scene.Trial(t.study, 1).final_measurement().step(), 3);
}

TEST(StudyMachineTest, TheWaitForMeasurementsEnds) {
  Tuning t(4, 2);
  t.Start(1);
  t.scene.Report(t.run(1), 2, 0.7);
  t.scene.ExitWith(t.run(1), 0, GoodExit({"accuracy", "loss"}, 3));
  t.scene.Pass(1);
  EXPECT_EQ(t.state(1), v1::TRIAL_SUCCEEDED);
  t.Start(2);
  t.scene.ExitWith(t.run(2), 0, GoodExit({"accuracy"}, 3));
  t.scene.Pass(10);
  EXPECT_EQ(t.state(2), v1::INFEASIBLE);
}

TEST(StudyMachineTest, LastOrBestMeasurementCounts) {
  for (const bool best : {false, true}) {
    Spec spec;
    if (best) spec.Best();
    Tuning t(2, 1, spec);
    t.Start(1);
    t.scene.Report(t.run(1), 1, 0.9);
    t.scene.Report(t.run(1), 2, 0.4);
    t.scene.Succeed(t.run(1));
    EXPECT_EQ(t.scene.Trial(t.study, 1).final_measurement().metrics(0).value(), best ? 0.9 : 0.4);
  }
}

TEST(StudyMachineTest, NotANumberIsInfeasible) {
  Tuning t(2, 1);
  t.Start(1);
  t.scene.Report(t.run(1), 4, std::nan(""));
  t.scene.Succeed(t.run(1));
  EXPECT_EQ(t.state(1), v1::INFEASIBLE);
  EXPECT_EQ(t.scene.Trial(t.study, 1).infeasible_reason(),
            "accuracy is not a finite number at step 4");
}

TEST(StudyMachineTest, MeasurementsAreIdempotentInAnyOrder) {
  Tuning once(2, 1);
  Tuning twice(2, 1);
  once.Start(1);
  twice.Start(1);
  for (const int step : {1, 2, 3, 4}) once.scene.Report(once.run(1), step, 0.1 * step);
  for (const int step : {4, 2, 2, 1, 4, 3, 1}) twice.scene.Report(twice.run(1), step, 0.1 * step);
  EXPECT_EQ(once.scene.Trial(once.study, 1).measurements_size(), 4);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(once.scene.Trial(once.study, 1).measurements(i).SerializeAsString(),
              twice.scene.Trial(twice.study, 1).measurements(i).SerializeAsString());
  }
}

TEST(StudyMachineTest, MeasurementsOfAnOldEpochAreIgnored) {
  Tuning t(2, 1, Spec().Retries(1));
  t.Start(1);
  const uint64_t old = t.scene.Run(t.run(1)).attempt().epoch();
  t.scene.Exit(t.run(1), 0, Failure(v1::USER_ERROR));
  t.scene.Release(t.run(1));
  t.scene.Pass(2);
  t.scene.PlaceAll();
  const auto late = t.scene.Try(ReportMeasurements{t.run(1), old, {Point(1, 0.9)}}, System());
  EXPECT_TRUE(late->ignored_fact);
  EXPECT_TRUE(t.scene.Trial(t.study, 1).measurements().empty());
}

TEST(StudyMachineTest, CurveIsThinnedAndKeepsItsEnds) {
  Tuning t(2, 1, Spec().Best());
  t.Start(1);
  for (int step = 1; step <= 2500; ++step) t.scene.Report(t.run(1), step, step == 333 ? 9.0 : 0.1);
  const records::TrialRow trial = t.scene.Trial(t.study, 1);
  EXPECT_LE(trial.measurements_size(), kMeasurementsMax);
  EXPECT_GT(trial.measurements_size(), kMeasurementsMax / 2);
  EXPECT_EQ(trial.measurements(0).step(), 1);
  EXPECT_EQ(trial.measurements().rbegin()->step(), 2500);
  t.scene.Succeed(t.run(1));
  EXPECT_EQ(t.scene.Trial(t.study, 1).final_measurement().metrics(0).value(), 9.0)
      << "the best point counts although it was thinned away";
}

TEST(StudyMachineTest, FailedTrialsEndTheJobAtTheLimit) {
  Tuning t(10, 2, Spec(), 2);
  t.Fail(1, "no such file");
  EXPECT_EQ(t.scene.Job("t").state(), v1::RUNNING);
  t.Fail(2);
  EXPECT_EQ(t.scene.Study(t.study).state(), v1::Study::INACTIVE_STUDY) << "trial 3 still stops";
  EXPECT_EQ(t.scene.Demand(t.run(3)).at(0), "n1 STOPPED STOP_CANCEL");
  t.scene.Stopped(t.run(3));
  EXPECT_EQ(t.scene.Job("t").state(), v1::FAILED);
  EXPECT_EQ(t.scene.Job("t").error().message(),
            "2 trials failed, the limit is 2 (maxFailedTrialCount); trial 1: no such file");
}

TEST(StudyMachineTest, DefaultLimitIsHalfButAtLeastThreeAndSaysSo) {
  Tuning small(2, 1);
  EXPECT_EQ(small.scene.Study(small.study).max_failed(), 3);
  Tuning t(10, 1);
  EXPECT_EQ(t.scene.Study(t.study).max_failed(), 5);
  for (int trial = 1; trial <= 5; ++trial) t.Fail(trial);
  EXPECT_EQ(t.scene.Job("t").state(), v1::FAILED);
  EXPECT_NE(t.scene.Job("t").error().message().find("half of the trials but at least 3"),
            std::string::npos);
}

TEST(StudyMachineTest, NoSucceededTrialFailsTheJobWithTheFirstError) {
  Tuning t(2, 1);
  t.Fail(1, "first");
  t.Fail(2, "second");
  EXPECT_EQ(t.scene.Job("t").state(), v1::FAILED);
  EXPECT_EQ(t.scene.Job("t").error().message(), "trial 1: first");
  EXPECT_EQ(t.scene.Job("t").error().cause(), v1::USER_ERROR);
}

TEST(StudyMachineTest, EarlyStopSucceedsWithWhatItMeasured) {
  Tuning t(4, 2);
  t.Start(1);
  t.scene.Report(t.run(1), 1, 0.2);
  t.scene.EarlyStop(t.study, 1);
  EXPECT_EQ(t.state(1), v1::STOPPING);
  EXPECT_EQ(t.scene.Demand(t.run(1)).at(0), "n1 STOPPED STOP_EARLY");
  t.scene.Stopped(t.run(1));
  EXPECT_EQ(t.state(1), v1::TRIAL_SUCCEEDED);
  EXPECT_TRUE(t.scene.Trial(t.study, 1).stopped_early());
  EXPECT_EQ(t.scene.Study(t.study).counts().stopped_early(), 1);
  EXPECT_EQ(t.state(3), v1::ACTIVE);
}

TEST(StudyMachineTest, EarlyStopBeforeAnyMeasurementIsInfeasible) {
  Tuning t(4, 2);
  t.scene.EarlyStop(t.study, 1, "hopeless");
  t.scene.Stopped(t.run(1));
  EXPECT_EQ(t.state(1), v1::INFEASIBLE);
  EXPECT_EQ(t.scene.Trial(t.study, 1).infeasible_reason(),
            "stopped before it was measured: hopeless");
}

TEST(StudyMachineTest, EarlyStopOfAPreemptedTrialDoesNotLetItReturn) {
  Tuning t(4, 2);
  t.Start(1);
  t.scene.Report(t.run(1), 1, 0.2);
  t.scene.Preempt(t.run(1));
  t.scene.EarlyStop(t.study, 1);
  t.scene.Stopped(t.run(1));
  EXPECT_EQ(t.state(1), v1::TRIAL_SUCCEEDED);
  Tuning waiting(4, 2);
  waiting.Start(1);
  waiting.scene.Report(waiting.run(1), 1, 0.2);
  waiting.scene.Preempt(waiting.run(1));
  waiting.scene.Stopped(waiting.run(1));
  waiting.scene.EarlyStop(waiting.study, 1);
  EXPECT_EQ(waiting.state(1), v1::TRIAL_SUCCEEDED) << "it waited and never ran again";
}

TEST(StudyMachineTest, CancelStopsAllRuns) {
  Tuning t(8, 3);
  t.Start(1);
  t.Start(2);
  t.scene.Cancel("t");
  EXPECT_EQ(t.scene.Job("t").state(), v1::CANCELLING);
  for (int trial = 1; trial <= 3; ++trial) t.scene.Stopped(t.run(trial));
  EXPECT_EQ(t.scene.Job("t").state(), v1::CANCELLED);
  EXPECT_TRUE(t.scene.state().open_trials.empty());
  EXPECT_TRUE(NeededSuggestions(t.scene.state()).empty());
}

TEST(StudyMachineTest, CancelBeforeTheFirstSuggestion) {
  Scene scene;
  scene.Submit("t", Spec().Study(4, 2));
  scene.Cancel("t");
  EXPECT_EQ(scene.Job("t").state(), v1::CANCELLED);
}

TEST(StudyMachineTest, PauseStopsTrialsAndStartsNoNewOnes) {
  Tuning t(8, 2);
  t.Start(1);
  t.scene.Pause("t");
  t.scene.Stopped(t.run(1));
  t.scene.Stopped(t.run(2));
  EXPECT_EQ(t.scene.Job("t").state(), v1::PAUSED);
  EXPECT_TRUE(NeededSuggestions(t.scene.state()).empty());
  t.scene.Resume("t");
  EXPECT_EQ(t.scene.state().waiting_runs.size(), 2u);
}

TEST(StudyMachineTest, ExhaustedSpaceEndsTheStudy) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("t", Spec().Study(10, 2));
  const uint64_t study = scene.StudyOf("t");
  scene.Suggest(study, 1, true);
  scene.PlaceAll();
  const uint64_t run = scene.Trial(study, 1).run_uid();
  scene.Running(run);
  scene.Report(run, 1, 1);
  scene.Succeed(run);
  EXPECT_EQ(scene.Job("t").state(), v1::SUCCEEDED);
  EXPECT_EQ(scene.Study(study).inactive_reason(), "the search space has no further point");
}

TEST(StudyMachineTest, StudyStopLetsRunningTrialsFinishOrNot) {
  for (const bool asap : {false, true}) {
    Spec spec;
    spec.spec.mutable_study_spec()->mutable_study_stopping()->set_should_stop_asap(asap);
    Tuning t(8, 1, spec);
    t.Start(1);
    t.scene.Report(t.run(1), 1, 0.3);
    t.scene.Do(ApplyStudyStop{t.study, "no progress"}, System());
    EXPECT_EQ(t.state(1), asap ? v1::STOPPING : v1::ACTIVE);
    asap ? t.scene.Stopped(t.run(1)) : t.scene.Succeed(t.run(1));
    EXPECT_EQ(t.scene.Job("t").state(), v1::SUCCEEDED);
    EXPECT_EQ(t.scene.Study(t.study).inactive_reason(), "no progress");
  }
}

TEST(StudyMachineTest, LateSuggestionsAreDropped) {
  Tuning t(4, 1);
  const int32_t next = t.scene.Study(t.study).next_trial();
  t.scene.Do(ApplySuggestions{t.study, next - 1, {{}}, false}, System());
  t.scene.Do(ApplySuggestions{t.study, next + 1, {{}}, false}, System());
  EXPECT_EQ(t.scene.Study(t.study).next_trial(), next);
  t.scene.Suggest(t.study, 100);
  EXPECT_EQ(t.scene.Study(t.study).next_trial(), 5) << "never more than max_trials";
}

TEST(StudyMachineTest, WholeTuningJobExpiresWhenNothingWasEverPlaced) {
  Scene scene;
  scene.Submit("t", Spec().Study(4, 2).MaxWait(30));
  scene.SuggestAll();
  scene.Pass(31);
  EXPECT_EQ(scene.Job("t").state(), v1::EXPIRED);
  EXPECT_TRUE(scene.state().waiting_runs.empty());
}

// Holds the trial; its program leaves.
void Hold(Tuning* t, int32_t trial) {
  ApplyStops stops{t->study, {}};
  stops.holds = {{trial, "not in the best third"}};
  t->scene.Do(stops, System());
  t->scene.Stopped(t->run(trial));
  t->scene.Release(t->run(trial));
}
void GoOn(Tuning* t, int32_t trial) {
  ApplyStops stops{t->study, {}};
  stops.resumes = {trial};
  t->scene.Do(stops, System());
}

TEST(StudyMachineTest, HeldTrialLeavesItsPlaceAndGoesOnFromItsCheckpoint) {
  Tuning t(4, 1);
  t.Start(1);
  t.scene.Report(t.run(1), 3, 0.5);
  t.scene.Part(t.run(1), 0, 3, "tree3");
  Hold(&t, 1);
  EXPECT_EQ(t.state(1), v1::REQUESTED);
  EXPECT_TRUE(t.scene.Trial(t.study, 1).held());
  EXPECT_EQ(t.scene.Study(t.study).counts().held(), 1);
  EXPECT_EQ(t.state(2), v1::ACTIVE) << "the place is free";
  GoOn(&t, 1);
  EXPECT_EQ(t.state(1), v1::REQUESTED) << "no place is free";
  EXPECT_EQ(t.scene.Study(t.study).counts().held(), 0);
  EXPECT_EQ(t.scene.Trial(t.study, 1).resumed_step(), 3);
  t.Finish(2, 0.1);
  EXPECT_EQ(t.state(1), v1::ACTIVE) << "before trial 3 begins";
  EXPECT_EQ(t.state(3), v1::REQUESTED);
  t.Start(1);
  const auto demand = DemandOfRun(t.scene.state(), t.run(1));
  ASSERT_EQ(demand.size(), 1u);
  EXPECT_EQ(demand[0].member.assignment().checkpoint_step(), 3);
  EXPECT_EQ(demand[0].member.assignment().checkpoint_tree(), "tree3");
}

TEST(StudyMachineTest, HeldTrialWithoutACheckpointIsStopped) {
  Tuning t(4, 1);
  t.Start(1);
  t.scene.Report(t.run(1), 3, 0.5);
  Hold(&t, 1);
  EXPECT_EQ(t.state(1), v1::TRIAL_SUCCEEDED);
  EXPECT_TRUE(t.scene.Trial(t.study, 1).stopped_early());
}

TEST(StudyMachineTest, HeldTrialsAreJudgedWhenNothingElseIsLeft) {
  Tuning t(2, 1);
  t.Start(1);
  t.scene.Report(t.run(1), 3, 0.5);
  t.scene.Part(t.run(1), 0, 3, "tree3");
  Hold(&t, 1);
  ApplyStops last{t.study, {}};
  last.stop_held = true;
  t.scene.Do(last, System());
  EXPECT_EQ(t.state(1), v1::REQUESTED) << "trial 2 runs still";
  t.Finish(2, 0.1);
  t.scene.Do(last, System());
  EXPECT_EQ(t.state(1), v1::TRIAL_SUCCEEDED);
  EXPECT_EQ(t.scene.Trial(t.study, 1).final_measurement().metrics(0).value(), 0.5);
  EXPECT_EQ(t.scene.Job("t").state(), v1::SUCCEEDED);
}

TEST(StudyMachineTest, StudyThatEndsWhileATrialIsHeldEnds) {
  for (const bool left : {true, false}) {
    Tuning t(4, 2);
    for (const int32_t trial : {1, 2}) {
      t.Start(trial);
      t.scene.Report(t.run(trial), 3, 0.5);
      t.scene.Part(t.run(trial), 0, 3, "tree3");
    }
    ApplyStops stops{t.study, {}};
    stops.holds = {{1, "not in the best third"}};
    t.scene.Do(stops, System());
    if (left) t.scene.Stopped(t.run(1));
    t.scene.Do(ApplyStudyStop{t.study, "no progress"}, System());
    if (!left) t.scene.Stopped(t.run(1));
    EXPECT_EQ(t.state(1), v1::TRIAL_SUCCEEDED) << left;
  }
}

TEST(StudyMachineTest, PausedJobKeepsItsHeldTrials) {
  Tuning t(4, 1);
  t.Start(1);
  t.scene.Report(t.run(1), 3, 0.5);
  t.scene.Part(t.run(1), 0, 3, "tree3");
  Hold(&t, 1);
  t.Start(2);
  t.scene.Pause("t");
  t.scene.Stopped(t.run(2));
  t.scene.Release(t.run(2));
  GoOn(&t, 1);
  EXPECT_EQ(t.state(1), v1::REQUESTED);
  t.scene.Resume("t");
  EXPECT_EQ(t.state(1), v1::ACTIVE);
  EXPECT_EQ(t.state(2), v1::REQUESTED) << "one place, and trial 1 comes first";
}

TEST(StudyMachineTest, TrialGoesOnFromTheCheckpointOfItsOrigin) {
  Spec pbt;
  pbt.spec.mutable_study_spec()->set_algorithm(v1::StudySpec::PBT);
  Tuning member(2, 1, pbt);
  member.Start(1);
  member.scene.Report(member.run(1), 3, 0.5);
  member.scene.Part(member.run(1), 0, 3, "tree3");
  member.scene.Succeed(member.run(1));
  member.scene.Release(member.run(1));
  ApplySuggestions two{member.study, 2, {}, false};
  two.suggestions.emplace_back().set_origin(1);
  member.scene.Do(two, System());
  member.Start(2);
  const auto demand = DemandOfRun(member.scene.state(), member.run(2));
  ASSERT_EQ(demand.size(), 1u);
  EXPECT_EQ(demand[0].member.assignment().checkpoint_tree(), "tree3");
  EXPECT_EQ(demand[0].member.assignment().checkpoint_step(), 3);
  EXPECT_EQ(member.scene.Trial(member.study, 2).origin(), 1);
}

TEST(StudyMachineTest, OneSuggestionIsReadyWhereManyTrialsRun) {
  for (const auto algorithm :
       {v1::StudySpec::ALGORITHM_UNSPECIFIED, v1::StudySpec::GP, v1::StudySpec::TPE}) {
    Spec spec;
    spec.spec.mutable_study_spec()->set_algorithm(algorithm);
    Tuning many(16, 8, spec);
    EXPECT_EQ(many.scene.Study(many.study).counts().requested(), 1) << algorithm;
    Tuning few(16, 2, spec);
    EXPECT_EQ(few.scene.Study(few.study).counts().requested(), 0) << algorithm;
  }
}

}  // namespace
}  // namespace trainyard::core
