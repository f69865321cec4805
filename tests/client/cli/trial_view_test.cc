// Trials: best by the goal, values as they were given, tables and progress that say so.
#include "client/cli/trial_view.h"

#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "client/cli/progress.h"

namespace trainyard::cli {
namespace {

v1::StudySpec Spec(v1::StudySpec::Goal goal) {
  v1::StudySpec spec;
  v1::StudySpec::Metric* metric = spec.add_metrics();
  metric->set_metric_id("accuracy");
  metric->set_goal(goal);
  spec.add_parameters()->set_parameter_id("lr");
  spec.add_parameters()->set_parameter_id("units");
  return spec;
}

v1::Trial Trial(int id, v1::TrialState state, double value) {
  v1::Trial trial;
  trial.set_id(id);
  trial.set_name(absl::StrCat("projects/p/studies/s/trials/", id));
  trial.set_state(state);
  v1::ParameterValue* lr = trial.add_parameters();
  lr->set_parameter_id("lr");
  lr->set_number(0.1 * id);
  v1::ParameterValue* units = trial.add_parameters();
  units->set_parameter_id("units");
  units->set_integer(32);
  if (state == v1::TRIAL_SUCCEEDED) {
    v1::MetricValue* metric = trial.mutable_final_measurement()->add_metrics();
    metric->set_metric_id("accuracy");
    metric->set_value(value);
    trial.mutable_final_measurement()->set_step(20);
    trial.mutable_end_time()->set_seconds(1000 + id);
  }
  return trial;
}

TEST(TrialViewTest, BestFollowsTheGoalAndIgnoresWhatHasNoNumber) {
  const std::vector<v1::Trial> trials = {Trial(1, v1::TRIAL_SUCCEEDED, 0.5),
                                         Trial(2, v1::TRIAL_SUCCEEDED, 0.9),
                                         Trial(3, v1::TRIAL_SUCCEEDED, std::nan("")),
                                         Trial(4, v1::INFEASIBLE, 0), Trial(5, v1::ACTIVE, 0)};
  EXPECT_EQ(BestOf(trials, Spec(v1::StudySpec::MAXIMIZE))->id(), 2);
  EXPECT_EQ(BestOf(trials, Spec(v1::StudySpec::MINIMIZE))->id(), 1);
  EXPECT_EQ(BestOf({trials[3]}, Spec(v1::StudySpec::MAXIMIZE)), nullptr);
}

TEST(TrialViewTest, HeldTrialsAreShownAsSuch) {
  v1::Trial held = Trial(1, v1::REQUESTED, 0);
  held.set_held(true);
  held.set_last_step(3);
  const Table table = TrialTable({held}, Spec(v1::StudySpec::MAXIMIZE), false);
  EXPECT_EQ(table.rows[0][1], "HELD");
  EXPECT_EQ(table.rows[0].back(), "may go on from step 3");
  held.set_held(false);
  EXPECT_EQ(StateText(held), "REQUESTED");
}

TEST(TrialViewTest, TableHasAColumnAParameterAndMarksTheBest) {
  std::vector<v1::Trial> trials = {Trial(1, v1::TRIAL_SUCCEEDED, 0.5),
                                   Trial(2, v1::TRIAL_SUCCEEDED, 0.9), Trial(3, v1::INFEASIBLE, 0)};
  trials[0].set_stopped_early(true);
  trials[2].set_infeasible_reason("out of memory\nat step 3");
  EXPECT_EQ(FormatTable(TrialTable(trials, Spec(v1::StudySpec::MAXIMIZE), false), 0, false),
            "TRIAL  STATE       accuracy  STEP  lr   units  TIME  NOTE\n"
            "    1  SUCCEEDED        0.5    20  0.1  32           stopped early\n"
            "    2  SUCCEEDED        0.9    20  0.2  32           best\n"
            "    3  INFEASIBLE                  0.3  32           out of memory\n");
}

TEST(TrialViewTest, TimeIsThatOfTheAttemptsWithoutWaiting) {
  v1::Trial trial = Trial(1, v1::TRIAL_SUCCEEDED, 0.5);
  trial.mutable_start_time()->set_seconds(1);
  const auto time = [&] {
    const Table table = TrialTable({trial}, Spec(v1::StudySpec::MAXIMIZE), false);
    return table.rows[0][table.rows[0].size() - 2];
  };
  EXPECT_EQ(time(), "16m40s") << "nothing is known of its attempts";
  for (const int64_t start : {1, 900}) {
    v1::AttemptSummary* const attempt = trial.add_attempts();
    attempt->mutable_start_time()->set_seconds(start);
    attempt->mutable_end_time()->set_seconds(start + 30);
  }
  EXPECT_EQ(time(), "1m00s");
}

TEST(TrialViewTest, TrialsThatEndedWithTheirJobReadCancelled) {
  v1::Trial trial = Trial(1, v1::INFEASIBLE, 0);
  trial.set_infeasible_reason("out of memory");
  EXPECT_EQ(StateText(trial), "INFEASIBLE");
  trial.set_infeasible_reason("cancelled: the job was cancelled");
  EXPECT_EQ(StateText(trial), "CANCELLED");
  trial.set_infeasible_reason("stopped");
  trial.add_attempts()->mutable_exit()->set_cause(v1::CANCELLED_CAUSE);
  EXPECT_EQ(StateText(trial), "CANCELLED");
}

TEST(TrialViewTest, ServersBestIsTheOneMarked) {
  std::vector<v1::Trial> trials = {Trial(1, v1::TRIAL_SUCCEEDED, 0.5),
                                   Trial(2, v1::TRIAL_SUCCEEDED, 0.9)};
  trials[0].set_is_best(true);
  const Table table = TrialTable(trials, Spec(v1::StudySpec::MAXIMIZE), false);
  EXPECT_EQ(table.rows[0].back(), "best");
  EXPECT_EQ(table.rows[1].back(), "");
}

TEST(TrialViewTest, NumbersAreShortAndReadBackTheSame) {
  EXPECT_EQ(NumberText(0.1), "0.1");
  EXPECT_EQ(NumberText(1e-5), "1e-05");
  EXPECT_EQ(NumberText(3), "3");
  for (double number : {0.1 + 0.2, 1.0 / 3, 1e300, -2.5e-310}) {
    EXPECT_EQ(std::stod(NumberText(1.0 / 3)), 1.0 / 3);
    if (std::isnormal(number)) {
      EXPECT_EQ(std::stod(NumberText(number)), number);
    }
  }
}

TEST(TrialViewTest, SparklineScalesBetweenItsExtremes) {
  EXPECT_EQ(Sparkline({0, 1, 2, 3, 4, 5, 6, 7}, 20), "▁▂▃▄▅▆▇█");
  EXPECT_EQ(Sparkline({0, 7, 0, 7}, 2), "▁█");
  EXPECT_EQ(Sparkline({1, std::nan(""), 2}, 9), "▁ █");
  EXPECT_EQ(Sparkline({}, 9), "");
}

TEST(ProgressTest, FrameShowsCountsBestAndRunningTrialsWithinTheWidth) {
  v1::Job job;
  job.set_name("projects/p/jobs/digits");
  job.set_state(v1::RUNNING);
  *job.mutable_spec()->mutable_study_spec() = Spec(v1::StudySpec::MAXIMIZE);
  job.mutable_spec()->set_max_trial_count(4);
  std::vector<v1::Trial> trials = {Trial(1, v1::TRIAL_SUCCEEDED, 0.5),
                                   Trial(2, v1::TRIAL_SUCCEEDED, 0.9), Trial(3, v1::ACTIVE, 0)};
  trials[0].set_stopped_early(true);
  const std::string frame = ProgressFrame(job, trials, absl::Seconds(65), 80, false);
  EXPECT_EQ(frame,
            "digits  RUNNING  1m05s\n"
            "trials    ████████████░░░░░░░░░░░░ 2/4  stopped early 1\n"
            "best      0.9  trial 2  lr=0.2 units=32\n"
            "          ▁█\n"
            "  trial 3  ACTIVE    step 0     -          lr=0.3 units=32\n");
  EXPECT_EQ(TrialLine(trials[1], job.spec().study_spec(), true),
            "trial 2 SUCCEEDED accuracy=0.9 (best so far) lr=0.2 units=32");
}

}  // namespace
}  // namespace trainyard::cli
