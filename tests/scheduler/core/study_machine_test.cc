// Studies and their trials: activation, measurements, verdicts, failures, early stops, ask and
// tell.
#include "scheduler/core/study_machine.h"

#include <gtest/gtest.h>

#include <cmath>

#include "common/errors.h"
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
  const records::TrialRow& trial = t.scene.Trial(t.study, 1);
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

// Ask and tell.

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

TEST(AskTellTest, RefusesWhatMakesNoSense) {
  AskTell a;
  a.Ask(1, "c");
  const auto reason = [&](CommandBody body) {
    return ReasonOf(a.scene.Try(std::move(body)).status());
  };
  EXPECT_EQ(reason(CompleteTrial{"default", "s", 1, false, {}, false, ""}), "METRIC_MISSING");
  EXPECT_EQ(reason(AddMeasurement{"default", "s", 1, Point(1, 1, "loss")}), "METRIC_MISSING");
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

}  // namespace
}  // namespace trainyard::core
