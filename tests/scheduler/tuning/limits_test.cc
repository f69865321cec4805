// Several metrics: Pareto fronts larger than random search finds, and limits that are kept.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "scheduler/tuning/tuning.h"
#include "tests/scheduler/tuning/builders.h"

namespace trainyard::tuning {
namespace {

using Spec = v1::StudySpec;
using Pair = std::pair<double, double>;
using PairObjective = std::function<Pair(const std::vector<v1::ParameterValue>&)>;

std::vector<Pair> Play(const SpecBuilder& builder, uint64_t seed, int trials,
                       const PairObjective& objective) {
  auto optimizer = builder.Make(seed);
  std::vector<Pair> told;
  for (int32_t id = 1; id <= trials; ++id) {
    auto result = optimizer->Suggest(id, 1);
    EXPECT_TRUE(result.ok());
    const auto& p = result->suggestions[0].parameters;
    told.push_back(objective(p));
    TrialRecord record = Succeeded(id, p, told.back().first);
    auto* second = record.final_measurement->add_metrics();
    second->set_metric_id("second");
    second->set_value(told.back().second);
    optimizer->Observe(record);
  }
  return told;
}

// Area that the points dominate below (1, 1); both are minimised.
double Area(std::vector<Pair> points) {
  std::sort(points.begin(), points.end());
  double area = 0;
  double lowest = 1;
  for (const auto& [x, y] : points) {
    if (x >= 1 || y >= lowest) continue;
    area += (1 - x) * (lowest - y);
    lowest = y;
  }
  return area;
}

// Zitzler, Deb and Thiele's first problem in six dimensions, scaled by 1/4 in the second metric.
Pair Front(const std::vector<v1::ParameterValue>& p) {
  double g = 1;
  for (int d = 1; d < 6; ++d) g += 9.0 / 5 * Number(p, "x" + std::to_string(d));
  const double first = Number(p, "x0");
  return {first, g * (1 - std::sqrt(first / g)) / 4};
}

TEST(LimitsTest, ParetoFrontIsFarLargerThanOfRandomSearch) {
  SpecBuilder builder;
  builder.Metric("second", Spec::MINIMIZE);
  for (int d = 0; d < 6; ++d) builder.Double("x" + std::to_string(d), 0, 1);
  constexpr double kWhole = 1 - 1.0 / 12;  // the front itself
  const double ours = Area(Play(builder, 3, 50, Front));
  const double random = Area(Play(builder.Algorithm(Spec::RANDOM), 3, 50, Front));
  EXPECT_LT(kWhole - ours, 0.05 * (kWhole - random)) << ours << " against " << random;
}

// Gardner's simulation: the best of the first metric lies where the second breaks its limit.
Pair Gardner(const std::vector<v1::ParameterValue>& p) {
  const double x = Number(p, "x");
  const double y = Number(p, "y");
  return {std::cos(2 * x) * std::cos(y) + std::sin(x),
          std::cos(x) * std::cos(y) - std::sin(x) * std::sin(y)};
}

TEST(LimitsTest, BestWithinTheLimitIsFound) {
  SpecBuilder builder;
  builder.Metric("second", Spec::MINIMIZE).Double("x", 0, 6).Double("y", 0, 6);
  builder->mutable_metrics(1)->set_safety_threshold(0.5);
  // By a fine grid.
  double optimum = 9;
  for (double x = 0; x <= 6; x += 0.01) {
    for (double y = 0; y <= 6; y += 0.01) {
      if (std::cos(x + y) <= 0.5) {
        optimum = std::min(optimum, std::cos(2 * x) * std::cos(y) + std::sin(x));
      }
    }
  }
  std::vector<double> ends;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    double best = 9;
    for (const auto& [value, second] : Play(builder, seed, 35, Gardner)) {
      if (second <= 0.5) best = std::min(best, value);
    }
    ends.push_back(best);
  }
  std::sort(ends.begin(), ends.end());
  EXPECT_LT(ends[1], optimum + 0.05) << "optimum " << optimum;
}

TEST(LimitsTest, DesiredShareOfSafeTrialsIsMet) {
  SpecBuilder builder;
  builder.Metric("second", Spec::MAXIMIZE).Double("x", 0, 1).Double("y", 0, 1).Double("w", 0, 1);
  builder->mutable_metrics(1)->set_safety_threshold(0.6);
  const auto objective = [](const std::vector<v1::ParameterValue>& p) {
    // Better the nearer to the limit, which one in five random points keeps.
    return Pair{1 - Number(p, "x") + std::abs(Number(p, "w") - 0.5),
                1 - 0.8 * Number(p, "x") - 0.5 * std::abs(Number(p, "y") - 0.2)};
  };
  builder->mutable_metrics(1)->set_desired_min_safe_trials_fraction(0.8);
  int safe = 0;
  double best = 9;
  const auto told = Play(builder, 5, 50, objective);
  for (size_t i = 10; i < told.size(); ++i) safe += told[i].second >= 0.6 ? 1 : 0;
  for (const auto& [value, second] : told) {
    if (second >= 0.6) best = std::min(best, value);
  }
  EXPECT_GE(safe, 30) << "of forty";
  EXPECT_LT(best, 0.6) << "0.5 is the optimum";
}

TEST(LimitsTest, NothingWithinTheLimitIsLookedForFirst) {
  SpecBuilder builder;
  builder.Metric("second", Spec::MINIMIZE).Double("x", 0, 1).Double("y", 0, 1);
  builder->mutable_metrics(1)->set_safety_threshold(0.003);  // one in a hundred keeps it
  const auto told = Play(builder, 2, 40, [](const std::vector<v1::ParameterValue>& p) {
    const double x = Number(p, "x") - 0.83;
    const double y = Number(p, "y") - 0.21;
    return Pair{-Number(p, "x"), x * x + y * y};
  });
  EXPECT_TRUE(
      std::any_of(told.begin(), told.end(), [](const Pair& pair) { return pair.second <= 0.003; }));
}

}  // namespace
}  // namespace trainyard::tuning
