// Which trials are best.
#include "scheduler/api/best.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace trainyard::api {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

v1::StudySpec SpecOf(std::vector<v1::StudySpec::Goal> goals) {
  v1::StudySpec spec;
  for (size_t i = 0; i < goals.size(); ++i) {
    spec.add_metrics()->set_metric_id("m" + std::to_string(i));
    spec.mutable_metrics(static_cast<int>(i))->set_goal(goals[i]);
  }
  return spec;
}

core::TrialPtr MakeTrial(int32_t id, std::vector<double> values,
                         v1::TrialState state = v1::TRIAL_SUCCEEDED) {
  auto trial = std::make_shared<journal::v1::TrialRow>();
  trial->set_id(id);
  trial->set_state(state);
  for (size_t i = 0; i < values.size(); ++i) {
    v1::MetricValue* value = trial->mutable_final_measurement()->add_metrics();
    value->set_metric_id("m" + std::to_string(i));
    value->set_value(values[i]);
  }
  return trial;
}

TEST(BestTrialsTest, GoalDecidesAndTiesGoToTheFirst) {
  const std::vector<core::TrialPtr> trials = {MakeTrial(1, {0.5}), MakeTrial(2, {0.9}),
                                              MakeTrial(3, {0.9}), MakeTrial(4, {0.1})};
  EXPECT_THAT(BestTrials(SpecOf({v1::StudySpec::MAXIMIZE}), trials, 2), ElementsAre(2, 3));
  EXPECT_THAT(BestTrials(SpecOf({v1::StudySpec::MINIMIZE}), trials, 1), ElementsAre(4));
}

TEST(BestTrialsTest, OnlySucceededTrialsWithFiniteValuesCount) {
  const std::vector<core::TrialPtr> trials = {
      MakeTrial(1, {std::nan("")}), MakeTrial(2, {INFINITY}), MakeTrial(3, {}),
      MakeTrial(4, {0.2}, v1::INFEASIBLE), MakeTrial(5, {0.1})};
  EXPECT_THAT(BestTrials(SpecOf({v1::StudySpec::MAXIMIZE}), trials, 10), ElementsAre(5));
  EXPECT_THAT(BestTrials(SpecOf({v1::StudySpec::MAXIMIZE}), {}, 10), IsEmpty());
}

TEST(BestTrialsTest, SeveralMetricsGiveTheParetoFrontFirst) {
  const auto spec = SpecOf({v1::StudySpec::MAXIMIZE, v1::StudySpec::MINIMIZE});
  const std::vector<core::TrialPtr> trials = {MakeTrial(1, {0.9, 10}), MakeTrial(2, {0.8, 5}),
                                              MakeTrial(3, {0.7, 6}), MakeTrial(4, {0.95, 20})};
  EXPECT_THAT(BestTrials(spec, trials, 3), ElementsAre(4, 1, 2));
  EXPECT_THAT(BestTrials(spec, trials, 4), ElementsAre(4, 1, 2)) << "trial 2 beats trial 3";
  EXPECT_THAT(BestTrials(spec, trials, 0), ElementsAre(4, 1, 2)) << "0: the whole front";
}

TEST(BestTrialsTest, LimitsAreKeptAndNoGoals) {
  auto spec = SpecOf({v1::StudySpec::MAXIMIZE, v1::StudySpec::MINIMIZE});
  spec.mutable_metrics(1)->set_safety_threshold(10);
  const std::vector<core::TrialPtr> trials = {MakeTrial(1, {0.9, 50}), MakeTrial(2, {0.8, 9}),
                                              MakeTrial(3, {0.7, 1})};
  EXPECT_THAT(BestTrials(spec, trials, 5), ElementsAre(2));
}

TEST(BestTrialsTest, TrialsThatRanToTheirEndComeFirst) {
  auto early = std::make_shared<journal::v1::TrialRow>(*MakeTrial(1, {0.9}));
  early->set_stopped_early(true);
  const std::vector<core::TrialPtr> trials = {early, MakeTrial(2, {0.5})};
  EXPECT_THAT(BestTrials(SpecOf({v1::StudySpec::MAXIMIZE}), trials, 2), ElementsAre(2, 1));
}

TEST(BestTrialsTest, WithNoiseALuckyMeasurementDoesNotWin) {
  auto spec = SpecOf({v1::StudySpec::MAXIMIZE});
  auto* range = spec.add_parameters();
  range->set_parameter_id("x");
  range->mutable_double_range()->set_min(0);
  range->mutable_double_range()->set_max(1);
  spec.set_noise(v1::StudySpec::NOISE_HIGH);
  std::vector<core::TrialPtr> trials;
  // A hill around 0.5 measured often, and one lucky value far from it between poor ones.
  for (int i = 0; i < 30; ++i) {
    const double x = (i % 10) / 10.0 + 0.05;
    const double noise = 0.1 * ((i * 7) % 5 - 2) / 2.0;
    auto trial = std::make_shared<journal::v1::TrialRow>(
        *MakeTrial(i + 1, {i == 0 ? 1.15 : 1 - 4 * (x - 0.5) * (x - 0.5) + noise}));
    trial->add_parameters()->set_parameter_id("x");
    trial->mutable_parameters(0)->set_number(x);
    trials.push_back(std::move(trial));
  }
  const std::vector<int32_t> best = BestTrials(spec, trials, 1);
  ASSERT_EQ(best.size(), 1u);
  EXPECT_NE(best[0], 1) << "the luckiest";
  const double x = trials[static_cast<size_t>(best[0] - 1)]->parameters(0).number();
  EXPECT_NEAR(x, 0.5, 0.11);
}

}  // namespace
}  // namespace trainyard::api
