// That the learning samplers learn: far better than random search on a smooth function, on a
// conditional space, under pending trials, and still after a thousand trials.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "common/random.h"
#include "scheduler/tuning/tuning.h"
#include "tests/scheduler/tuning/builders.h"

namespace trainyard::tuning {
namespace {

using Spec = v1::StudySpec;

constexpr double kBatchLoss = 0.05;

double Least(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}

SpecBuilder Smooth() {
  SpecBuilder builder;
  builder.Double("x", -5, 10).Double("y", 0, 15).Double("lr", 1e-5, 1, Spec::LOG);
  return builder;
}
double SmoothLoss(const std::vector<v1::ParameterValue>& p) {
  const double a = Number(p, "x") - 3.3;
  const double b = Number(p, "y") - 2.2;
  const double c = std::log10(Number(p, "lr")) + 3;
  return a * a + 0.5 * b * b + a * b * 0.3 + 4 * c * c;
}

double MedianOfStudies(const SpecBuilder& builder, const Objective& objective, int trials,
                       int parallel) {
  std::vector<double> ends;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    auto optimizer = builder.Make(seed);
    ends.push_back(Least(RunStudy(optimizer.get(), objective, trials, parallel)));
  }
  std::sort(ends.begin(), ends.end());
  return ends[2];
}

TEST(SearchTest, DefaultIsFarBetterThanRandom) {
  const double random = MedianOfStudies(Smooth().Algorithm(Spec::RANDOM), SmoothLoss, 30, 1);
  EXPECT_LT(MedianOfStudies(Smooth(), SmoothLoss, 30, 1), 0.02 * random);
  EXPECT_LT(MedianOfStudies(Smooth(), SmoothLoss, 30, 6), 0.2 * random) << "six at a time";
}

TEST(SearchTest, TpeIsBetterThanRandom) {
  const double random = MedianOfStudies(Smooth().Algorithm(Spec::RANDOM), SmoothLoss, 100, 1);
  EXPECT_LT(MedianOfStudies(Smooth().Algorithm(Spec::TPE), SmoothLoss, 100, 1), 0.5 * random);
}

TEST(SearchTest, FailingRegionsAreLeft) {
  auto optimizer = Smooth().Make(3);
  int failures = 0;
  for (int32_t id = 1; id <= 50; ++id) {
    const auto p = optimizer->Suggest(id, 1)->suggestions[0].parameters;
    const bool fails = Number(p, "y") > 7;
    if (fails && id > 20) ++failures;
    optimizer->Observe(fails ? Failed(id, p) : Succeeded(id, p, SmoothLoss(p)));
  }
  EXPECT_LT(failures, 8) << "half the space fails";
}

TEST(SearchTest, ConditionalBranchIsFound) {
  SpecBuilder builder;
  builder.Categories("opt", {"sgd", "adam"})
      .Under({"sgd"})
      .Double("momentum", 0, 1)
      .Under({"adam"})
      .Double("beta", 0, 1);
  auto optimizer = builder.Make(2);
  const auto values = RunStudy(
      optimizer.get(),
      [](const std::vector<v1::ParameterValue>& p) {
        return Has(p, "momentum") ? 1 + std::abs(Number(p, "momentum") - 0.3)
                                  : 0.9 + std::abs(Number(p, "beta") - 0.8);
      },
      30);
  EXPECT_LT(Least(values), 0.91);
}

TEST(SearchTest, LongHistoriesStillGetGoodPoints) {
  auto optimizer = Smooth().Make(4);
  Random random(1);
  auto random_study = Smooth().Algorithm(Spec::RANDOM).Make(4);
  double best_before = 1e9;
  for (int32_t id = 1; id <= 1500; ++id) {
    const auto p = random_study->Suggest(id, 1)->suggestions[0].parameters;
    best_before = std::min(best_before, SmoothLoss(p));
    optimizer->Observe(Succeeded(id, p, SmoothLoss(p)));
  }
  double best = 1e9;
  for (int32_t id = 1501; id <= 1700; ++id) {
    const auto p = optimizer->Suggest(id, 1)->suggestions[0].parameters;
    best = std::min(best, SmoothLoss(p));
    optimizer->Observe(Succeeded(id, p, SmoothLoss(p)));
  }
  EXPECT_LT(best, 0.05 * best_before) << "it does not stop at what lies near by chance";
}

TEST(SearchTest, TrialsOfABatchGoDifferentWays) {
  EXPECT_LT(MedianOfStudies(Smooth(), SmoothLoss, 50, 10), kBatchLoss);
}

TEST(SearchTest, TwoMetricsSpreadOverTheFront) {
  SpecBuilder builder;
  builder.Metric("cost", Spec::MINIMIZE).Double("x", -2, 4).Double("y", -1, 1);
  auto optimizer = builder.Make(5);
  for (int32_t id = 1; id <= 40; ++id) {
    const auto p = optimizer->Suggest(id, 1)->suggestions[0].parameters;
    const double x = Number(p, "x");
    const double y = Number(p, "y");
    TrialRecord record = Succeeded(id, p, x * x + y * y);
    auto* cost = record.final_measurement->add_metrics();
    cost->set_metric_id("cost");
    cost->set_value((x - 2) * (x - 2) + y * y);
    optimizer->Observe(record);
  }
  EXPECT_GE(optimizer->Best(100).size(), 10u);
}

TEST(CurveStopTest, StopsTheHopelessAndKeepsTheSlowAndGood) {
  SpecBuilder builder = Smooth();
  builder->mutable_stopping()->set_kind(Spec::DECAY_CURVE);
  builder->mutable_stopping()->set_max_steps(60);
  auto optimizer = builder.Make(1);
  const auto curve = [](double end, double half_time, int steps) {
    std::vector<double> losses;
    for (int t = 1; t <= steps; ++t) {
      losses.push_back(end + 2 * std::pow(1 + t / half_time, -1.4) + 1e-3 * ((t * 7919) % 5 - 2));
    }
    return losses;
  };
  for (int32_t id = 1; id <= 6; ++id) {
    optimizer->Observe(Curve(id, curve(0.2 + 0.01 * id, 3, 60), false));
  }
  optimizer->Observe(Curve(7, curve(1.2, 2, 25), true));  // flat and bad
  optimizer->Observe(Curve(8, curve(0.0, 12, 8), true));  // slow: worse than all others so far
  optimizer->Observe(Curve(9, curve(1.2, 2, 2), true));   // too young to judge
  std::vector<int32_t> stopped;
  for (const StopAdvice& advice : optimizer->AdviseStops()) stopped.push_back(advice.trial);
  EXPECT_EQ(stopped, std::vector<int32_t>{7});
}

}  // namespace
}  // namespace trainyard::tuning
