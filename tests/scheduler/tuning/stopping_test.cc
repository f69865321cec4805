// The stopping rules on hand-made curves, and the study's own limits.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <set>

#include "scheduler/tuning/tuning.h"
#include "tests/scheduler/tuning/builders.h"

namespace trainyard::tuning {
namespace {

std::vector<int32_t> Stopped(Optimizer* optimizer) {
  std::vector<int32_t> ids;
  for (const StopAdvice& advice : optimizer->AdviseStops()) {
    EXPECT_FALSE(advice.reason.empty());
    ids.push_back(advice.trial);
  }
  return ids;
}

SpecBuilder MedianSpec(v1::StudySpec::Goal goal = v1::StudySpec::MINIMIZE) {
  SpecBuilder builder(goal);
  builder.Double("x", 0, 1);
  builder->mutable_stopping()->set_kind(v1::StudySpec::MEDIAN);
  return builder;
}

TEST(MedianStopTest, StopsWhatIsWorseThanTheMedianOfRunningAverages) {
  auto optimizer = MedianSpec().Make();
  // Running averages at step 2: 1.5, 2.5, 3.5, 4.5, 5.5: median 3.5.
  for (int i = 1; i <= 5; ++i) optimizer->Observe(Curve(i, {i + 1.0, i + 0.0, 0.0}, false));
  optimizer->Observe(Curve(6, {9, 3.6}, true));
  optimizer->Observe(Curve(7, {9, 3.5}, true));  // equal: goes on
  optimizer->Observe(Curve(8, {3.0, 9}, true));  // its best so far counts
  optimizer->Observe(Pending(9, {}));            // nothing measured
  EXPECT_EQ(Stopped(optimizer.get()), std::vector<int32_t>{6});
  EXPECT_NE(optimizer->AdviseStops()[0].reason.find("3.6 is above the median 3.5 of 5 trials"),
            std::string::npos)
      << optimizer->AdviseStops()[0].reason;
}

TEST(MedianStopTest, MaximizingTurnsTheRule) {
  auto optimizer = MedianSpec(v1::StudySpec::MAXIMIZE).Make();
  for (int i = 1; i <= 5; ++i) optimizer->Observe(Curve(i, {i * 0.1}, false));
  optimizer->Observe(Curve(6, {0.29}, true));
  optimizer->Observe(Curve(7, {0.31}, true));
  EXPECT_EQ(Stopped(optimizer.get()), std::vector<int32_t>{6});
}

TEST(MedianStopTest, WaitsForTrialsAndSteps) {
  SpecBuilder builder = MedianSpec();
  builder->mutable_stopping()->set_min_steps(2);
  builder->mutable_stopping()->set_min_trials(3);
  auto optimizer = builder.Make();
  optimizer->Observe(Curve(1, {1, 1}, false));
  optimizer->Observe(Curve(2, {1, 1}, false));
  optimizer->Observe(Curve(4, {5, 5}, true));
  optimizer->Observe(Curve(5, {5}, true));
  EXPECT_TRUE(Stopped(optimizer.get()).empty());
  TrialRecord early = Curve(3, {1, 1}, false);
  early.stopped_early = true;
  optimizer->Observe(early);
  EXPECT_TRUE(Stopped(optimizer.get()).empty()) << "a stopped trial is no completed one";
  early.stopped_early = false;
  optimizer->Observe(early);
  EXPECT_EQ(Stopped(optimizer.get()), std::vector<int32_t>{4});
}

TEST(MedianStopTest, NumbersThatAreNoneDoNotCount) {
  auto optimizer = MedianSpec().Make();
  for (int i = 1; i <= 5; ++i) optimizer->Observe(Curve(i, {1, 1}, false));
  optimizer->Observe(Curve(6, {std::nan(""), std::nan("")}, true));
  EXPECT_TRUE(Stopped(optimizer.get()).empty());
}

TEST(HalvingStopTest, OnlyTheBestThirdPassesARung) {
  SpecBuilder builder;
  builder.Double("x", 0, 1);
  builder->mutable_stopping()->set_kind(v1::StudySpec::ASHA);
  builder->mutable_stopping()->set_min_steps(2);
  builder->mutable_stopping()->set_max_steps(20);
  auto optimizer = builder.Make();
  for (int i = 1; i <= 6; ++i) optimizer->Observe(Curve(i, {9, i * 1.0}, true));
  EXPECT_EQ(Stopped(optimizer.get()), (std::vector<int32_t>{3, 4, 5, 6}));
  optimizer->Observe(Curve(7, {9}, true));  // has not come to the rung
  EXPECT_EQ(Stopped(optimizer.get()).size(), 4u);
}

TEST(HalvingStopTest, TheFirstToComeGoOn) {
  SpecBuilder builder;
  builder.Double("x", 0, 1);
  builder->mutable_stopping()->set_kind(v1::StudySpec::ASHA);
  builder->mutable_stopping()->set_max_steps(81);
  auto optimizer = builder.Make();
  optimizer->Observe(Curve(1, {5}, true));
  optimizer->Observe(Curve(2, {6}, true));
  EXPECT_TRUE(Stopped(optimizer.get()).empty());
}

// Held at the last step of its curve.
TrialRecord Held(int32_t id, const std::vector<double>& losses) {
  TrialRecord record = Curve(id, losses, true);
  record.state = v1::REQUESTED;
  record.held = true;
  return record;
}

TEST(HalvingStopTest, HeldTrialsGoOnWhenOthersTurnOutWorse) {
  SpecBuilder builder;
  builder.Double("x", 0, 1);
  builder->mutable_stopping()->set_kind(v1::StudySpec::ASHA);
  builder->mutable_stopping()->set_min_steps(1);
  builder->mutable_stopping()->set_max_steps(9);
  auto optimizer = builder.Make();
  optimizer->Observe(Curve(1, {1}, true));
  optimizer->Observe(Curve(2, {3}, false));
  optimizer->Observe(Held(3, {2}));
  EXPECT_TRUE(optimizer->AdviseResumes().empty()) << "second of three";
  EXPECT_TRUE(optimizer->AdviseStops().empty()) << "held already";
  for (int i = 4; i <= 5; ++i) optimizer->Observe(Curve(i, {9}, true));
  for (const StopAdvice& advice : optimizer->AdviseStops()) EXPECT_TRUE(advice.may_resume);
  EXPECT_TRUE(optimizer->AdviseResumes().empty());
  optimizer->Observe(Held(6, {9}));
  EXPECT_EQ(optimizer->AdviseResumes(), std::vector<int32_t>{3});
  TrialRecord resumed = Curve(3, {2}, true);
  resumed.resumed_step = 1;
  optimizer->Observe(resumed);
  optimizer->Observe(Curve(7, {1.5}, true));
  EXPECT_EQ(Stopped(optimizer.get()), (std::vector<int32_t>{4, 5}))
      << "it is judged again at the next rung only";
  optimizer->Observe(Curve(8, {1.2, 1, 1}, true));
  optimizer->Observe(Curve(9, {1.3, 1, 1}, true));
  resumed = Curve(3, {2, 2, 2}, true);
  resumed.resumed_step = 1;
  optimizer->Observe(resumed);
  EXPECT_EQ(Stopped(optimizer.get())[0], 3);
}

TEST(HalvingStopTest, HeldTrialsAreNoEndedTrials) {
  SpecBuilder builder;
  builder.Double("x", 0, 1);
  builder->mutable_stopping()->set_kind(v1::StudySpec::ASHA);
  builder->mutable_study_stopping()->set_max_trials(2);
  auto optimizer = builder.Make();
  optimizer->Observe(Curve(1, {1}, false));
  optimizer->Observe(Held(2, {0.5}));
  EXPECT_FALSE(optimizer->AdviseStudy(0).stop);
  EXPECT_EQ(optimizer->Best(5), std::vector<int32_t>{1});
}

TEST(StudyStopTest, LittleLeftToGainEndsTheStudy) {
  SpecBuilder builder;
  builder.Double("x", 0, 1).Double("y", 0, 1);
  builder->mutable_study_stopping()->set_regret_below(0.01);
  const auto bowl = [](const std::vector<v1::ParameterValue>& p) {
    const double x = Number(p, "x") - 0.3;
    const double y = Number(p, "y") - 0.6;
    return 1 + 4 * x * x + 4 * y * y;
  };
  int stopped_at = 0;
  double best = 10;
  auto optimizer = builder.Make();
  for (int32_t id = 1; id <= 60 && stopped_at == 0; ++id) {
    const auto asked = optimizer->Suggest(id, 1);
    const double value = bowl(asked->suggestions[0].parameters);
    best = std::min(best, value);
    optimizer->Observe(Succeeded(id, asked->suggestions[0].parameters, value));
    const StudyStop advice = optimizer->AdviseStudy(0);
    if (advice.stop) {
      stopped_at = id;
      EXPECT_NE(advice.reason.find("left to gain"), std::string::npos) << advice.reason;
    }
  }
  EXPECT_GE(stopped_at, 8);
  EXPECT_LE(stopped_at, 40);
  EXPECT_LE(best, 1.01) << "what it says holds";
}

TEST(StudyStopTest, NoiseAloneLeavesMuchToGain) {
  SpecBuilder builder;
  builder.Double("x", 0, 1).Double("y", 0, 1);
  builder->set_algorithm(v1::StudySpec::RANDOM);
  builder->mutable_study_stopping()->set_regret_below(0.01);
  auto optimizer = builder.Make();
  for (int32_t id = 1; id <= 20; ++id) {
    const auto asked = optimizer->Suggest(id, 1);
    optimizer->Observe(Succeeded(id, asked->suggestions[0].parameters, (id * 37 % 20) / 10.0));
    EXPECT_FALSE(optimizer->AdviseStudy(0).stop) << id;
  }
}

TEST(StudyStopTest, LimitsAreKept) {
  SpecBuilder builder;
  builder.Double("x", 0, 1);
  auto* stopping = builder->mutable_study_stopping();
  stopping->set_max_trials(6);
  stopping->set_max_trials_no_progress(3);
  stopping->mutable_maximum_runtime()->set_seconds(100);
  auto optimizer = builder.Make();
  EXPECT_FALSE(optimizer->AdviseStudy(0).stop);
  EXPECT_TRUE(optimizer->AdviseStudy(100).stop);
  optimizer->Observe(Succeeded(1, {}, 1));
  optimizer->Observe(Succeeded(2, {}, 2));
  optimizer->Observe(Succeeded(3, {}, 2));
  EXPECT_FALSE(optimizer->AdviseStudy(1).stop);
  optimizer->Observe(Failed(4, {}));
  const StudyStop stop = optimizer->AdviseStudy(1);
  EXPECT_TRUE(stop.stop);
  EXPECT_EQ(stop.reason, "no progress in the last 3 trials, since trial 1");
  optimizer->Observe(Succeeded(5, {}, 0.5));
  EXPECT_FALSE(optimizer->AdviseStudy(1).stop);
  optimizer->Observe(Succeeded(6, {}, 0.4));
  EXPECT_TRUE(optimizer->AdviseStudy(1).stop);
}

TrialRecord EndedAt(int32_t id, double loss, double seconds) {
  TrialRecord record = Succeeded(id, {}, loss);
  record.end_seconds = seconds;
  return record;
}

TEST(StudyStopTest, TimeWithoutProgressCounts) {
  SpecBuilder builder;
  builder.Double("x", 0, 1);
  builder->mutable_study_stopping()->mutable_max_duration_no_progress()->set_seconds(50);
  auto optimizer = builder.Make();
  EXPECT_FALSE(optimizer->AdviseStudy(1000).stop);
  optimizer->Observe(EndedAt(1, 1, 1000));
  optimizer->Observe(EndedAt(2, 2, 1040));
  EXPECT_FALSE(optimizer->AdviseStudy(1000).stop);
  EXPECT_FALSE(optimizer->AdviseStudy(1049).stop);
  EXPECT_TRUE(optimizer->AdviseStudy(1050).stop);
  auto again = builder.Make();  // as after a restart
  again->Observe(EndedAt(1, 1, 1000));
  EXPECT_TRUE(again->AdviseStudy(1050).stop) << "the time does not begin anew";
  optimizer->Observe(EndedAt(3, 0.5, 1050));
  EXPECT_FALSE(optimizer->AdviseStudy(1051).stop);
}

TEST(StudyStopTest, NothingStopsBeforeTheStudyMay) {
  SpecBuilder builder;
  builder.Double("x", 0, 1);
  auto* stopping = builder->mutable_study_stopping();
  stopping->mutable_max_duration_no_progress()->set_nanos(500'000'000);
  stopping->mutable_minimum_runtime()->set_seconds(100);
  stopping->set_min_trials(2);
  auto optimizer = builder.Make();
  optimizer->Observe(EndedAt(1, 1, 10));
  EXPECT_FALSE(optimizer->AdviseStudy(200).stop) << "one trial";
  optimizer->Observe(EndedAt(2, 2, 20));
  EXPECT_FALSE(optimizer->AdviseStudy(99).stop) << "too early";
  EXPECT_TRUE(optimizer->AdviseStudy(100).stop);
}

TEST(StudyStopTest, WhatComesToTheFrontIsProgress) {
  SpecBuilder builder;
  builder.Metric("cost", v1::StudySpec::MINIMIZE).Double("x", 0, 1);
  builder->mutable_study_stopping()->set_max_trials_no_progress(2);
  auto optimizer = builder.Make();
  const auto tell = [&](int32_t id, double loss, double cost) {
    TrialRecord record = Succeeded(id, {}, loss);
    record.final_measurement->add_metrics()->set_metric_id("cost");
    record.final_measurement->mutable_metrics(1)->set_value(cost);
    optimizer->Observe(record);
    return optimizer->AdviseStudy(0).stop;
  };
  EXPECT_FALSE(tell(1, 1, 9));
  EXPECT_FALSE(tell(2, 2, 9));
  EXPECT_FALSE(tell(3, 5, 5)) << "worse by the first metric, but on the front";
  EXPECT_FALSE(tell(4, 6, 6));
  EXPECT_TRUE(tell(5, 7, 7));
}

// Trials of equal shape that ran to their end, and runners whose curves stand at step 12 of 30.
struct CurveScene {
  SpecBuilder builder;
  std::unique_ptr<Optimizer> optimizer;
  int32_t next = 1;
  CurveScene() {
    builder.Double("x", 0, 1);
    builder->mutable_stopping()->set_kind(v1::StudySpec::DECAY_CURVE);
    builder->mutable_stopping()->set_max_steps(30);
    optimizer = builder.Make();
  }
  static std::vector<double> Losses(double end, int steps) {
    std::vector<double> losses;
    for (int step = 1; step <= steps; ++step) losses.push_back(end + std::exp(-0.3 * step));
    return losses;
  }
  int32_t Add(const std::vector<double>& losses, bool running) {
    optimizer->Observe(Curve(next, losses, running));
    return next++;
  }
  std::set<int32_t> Stops() {
    std::set<int32_t> stops;
    for (const StopAdvice& advice : optimizer->AdviseStops()) stops.insert(advice.trial);
    return stops;
  }
};

TEST(CurveStopTest, OneThatDivergesDoesNotStopTheOthers) {
  CurveScene scene;
  for (int i = 0; i < 6; ++i) scene.Add(CurveScene::Losses(0.5 + 0.1 * i, 30), false);
  const int32_t sound = scene.Add(CurveScene::Losses(0.2, 12), true);
  std::vector<double> losses = CurveScene::Losses(0.2, 12);
  losses[10] = 1e200;
  losses[11] = 1e308;
  const int32_t diverged = scene.Add(losses, true);
  const std::set<int32_t> stops = scene.Stops();
  EXPECT_EQ(stops.count(sound), 0u);
  EXPECT_EQ(stops.count(diverged), 1u);
}

TEST(CurveStopTest, CorrectedCurvesAreJudgedAsIfTheyWereNew) {
  CurveScene scene;
  CurveScene fresh;
  for (int i = 0; i < 8; ++i) {
    scene.Add(CurveScene::Losses(0.30 + 0.01 * i, 30), false);
    fresh.Add(CurveScene::Losses(0.30 + 0.01 * i, 30), false);
  }
  std::vector<double> losses = CurveScene::Losses(3, 12);
  losses[11] = CurveScene::Losses(0.2, 12)[11];
  scene.Add(losses, true);
  scene.Stops();
  --scene.next;  // earlier steps are told again; the last value stays
  scene.Add(CurveScene::Losses(0.2, 12), true);
  fresh.Add(CurveScene::Losses(0.2, 12), true);
  EXPECT_EQ(scene.Stops(), fresh.Stops());
  EXPECT_TRUE(fresh.Stops().empty());
}

}  // namespace
}  // namespace trainyard::tuning
