// CMA-ES against the tutorial's constants and known problems; the margin; BOHB's budgets.
#include "scheduler/tuning/cma_es.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "tests/scheduler/tuning/builders.h"

namespace trainyard::tuning {
namespace {

double Minimize(CmaEs* strategy, int generations,
                const std::function<double(const Eigen::VectorXd&)>& f) {
  Random random(11);
  double best = 1e300;
  for (int g = 0; g < generations; ++g) {
    std::vector<std::pair<double, Eigen::VectorXd>> population;
    for (int i = 0; i < strategy->population(); ++i) {
      const Eigen::VectorXd x = strategy->Draw(&random);
      population.emplace_back(f(x), x);
      best = std::min(best, population.back().first);
    }
    std::stable_sort(population.begin(), population.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<Eigen::VectorXd> sorted;
    for (auto& [value, x] : population) sorted.push_back(x);
    strategy->Update(sorted);
  }
  return best;
}

TEST(CmaEsTest, ConstantsAreTheTutorials) {
  EXPECT_EQ(DefaultPopulation(10), 10);
  const CmaConstants c(10, 10);
  const double weights[] = {0.4563, 0.2707, 0.1622, 0.0852, 0.0255};
  ASSERT_EQ(c.weights.size(), 5u);
  for (int i = 0; i < 5; ++i) EXPECT_NEAR(c.weights[static_cast<size_t>(i)], weights[i], 1e-4);
  EXPECT_NEAR(c.mu_eff, 3.167, 1e-3);
  EXPECT_NEAR(c.chi, 3.0847, 1e-3);  // E|N(0, I)| in ten dimensions is 3.0843
}

TEST(CmaEsTest, SphereFallsByOrdersOfMagnitude) {
  CmaEs strategy(Eigen::VectorXd::Constant(10, 0.5), 0.2, std::vector<double>(10, 0), 10);
  const double best = Minimize(
      &strategy, 200, [](const Eigen::VectorXd& x) { return (x.array() - 0.3).square().sum(); });
  EXPECT_LT(best, 1e-9);
}

TEST(CmaEsTest, TurnedEllipsoidIsLearnt) {
  CmaEs strategy(Eigen::VectorXd::Constant(4, 0.5), 0.2, std::vector<double>(4, 0), 8);
  const double best = Minimize(&strategy, 350, [](const Eigen::VectorXd& x) {
    double sum = 0;
    for (int i = 0; i < 4; ++i) {
      double z = 0;
      for (int j = 0; j < 4; ++j) z += std::cos(1.0 + i + 2.0 * i * j) * (x[j] - 0.6);
      sum += std::pow(10.0, i) * z * z;
    }
    return sum;
  });
  EXPECT_LT(best, 1e-8);
}

TEST(CmaEsTest, MarginKeepsIntegersMoving) {
  // The good level is far from the start and only the integer matters.
  CmaEs strategy(Eigen::VectorXd::Constant(2, 0.06), 0.05, {8, 0}, 6);
  const double best = Minimize(&strategy, 120, [](const Eigen::VectorXd& x) {
    const double level = std::min(7.0, std::floor(x[0] * 8));
    return std::abs(level - 6) + std::pow(x[1] - 0.2, 2);
  });
  EXPECT_LT(best, 1e-4);
}

double Bowl(const std::vector<v1::ParameterValue>& p) {
  return std::pow(Number(p, "x") - 0.7, 2) + std::pow(Number(p, "y") - 0.2, 2) +
         (Text(p, "opt") == "b" ? 0 : 0.5);
}

SpecBuilder BowlSpec(v1::StudySpec::Algorithm algorithm) {
  SpecBuilder spec;
  spec.Double("x", 0, 1).Double("y", 0, 1).Categories("opt", {"a", "b", "c"}).Algorithm(algorithm);
  return spec;
}

TEST(CmaSamplerTest, FindsTheBowlAndItsCategory) {
  const auto optimizer = BowlSpec(v1::StudySpec::CMA_ES).Make();
  const auto values = RunStudy(optimizer.get(), Bowl, 250);
  EXPECT_LT(*std::min_element(values.begin(), values.end()), 1e-3);
  const auto parallel = BowlSpec(v1::StudySpec::CMA_ES).Make();
  const auto others = RunStudy(parallel.get(), Bowl, 250, 10);
  EXPECT_LT(*std::min_element(others.begin(), others.end()), 1e-2);
}

TEST(CmaSamplerTest, ARebuiltOptimizerGoesOnTheSame) {
  const auto spec = BowlSpec(v1::StudySpec::CMA_ES);
  const auto optimizer = spec.Make();
  std::vector<TrialRecord> records;
  for (int32_t id = 1; id <= 60; ++id) {
    const auto asked = optimizer->Suggest(id, 1);
    ASSERT_TRUE(asked.ok());
    const auto& parameters = asked->suggestions[0].parameters;
    records.push_back(Succeeded(id, parameters, Bowl(parameters)));
    optimizer->Observe(records.back());
  }
  const auto rebuilt = spec.Make();
  for (const TrialRecord& record : records) rebuilt->Observe(record);
  EXPECT_EQ(ToText(optimizer->Suggest(61, 1)->suggestions[0].parameters),
            ToText(rebuilt->Suggest(61, 1)->suggestions[0].parameters));
}

TEST(BohbTest, LearnsFromStoppedCurves) {
  SpecBuilder spec = BowlSpec(v1::StudySpec::BOHB);
  spec->mutable_stopping()->set_kind(v1::StudySpec::HYPERBAND);
  spec->mutable_stopping()->set_min_steps(1);
  spec->mutable_stopping()->set_max_steps(27);
  const auto optimizer = spec.Make();
  double late = 0;
  for (int32_t id = 1; id <= 120; ++id) {
    const auto asked = optimizer->Suggest(id, 1);
    ASSERT_TRUE(asked.ok());
    const auto& parameters = asked->suggestions[0].parameters;
    const double value = Bowl(parameters);
    if (id > 80) late += value / 40;
    TrialRecord record = Curve(id, {value + 0.2, value + 0.1, value}, /*running=*/false);
    record.parameters = parameters;
    record.stopped_early = true;
    optimizer->Observe(record);
  }
  EXPECT_LT(late, 0.32);  // 0.56 at random
}

}  // namespace
}  // namespace trainyard::tuning
