// Importance against functions whose shares are known in closed form; the predicted optimum; speed.
#include "scheduler/tuning/insight.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/random.h"
#include "tests/scheduler/tuning/builders.h"

namespace trainyard::tuning {
namespace {

v1::ParameterValue Value(const std::string& id, double number) {
  v1::ParameterValue value;
  value.set_parameter_id(id);
  value.set_number(number);
  return value;
}

std::vector<TrialRecord> Trials(int count, int dimensions,
                                const std::function<double(const std::vector<double>&)>& f) {
  Random random(3);
  std::vector<TrialRecord> trials;
  for (int i = 0; i < count; ++i) {
    std::vector<v1::ParameterValue> parameters;
    std::vector<double> x;
    for (int d = 0; d < dimensions; ++d) {
      x.push_back(random.Uniform());
      parameters.push_back(Value(absl::StrCat("x", d), x.back()));
    }
    trials.push_back(Succeeded(i + 1, parameters, f(x)));
  }
  return trials;
}

SpecBuilder Cube(int dimensions) {
  SpecBuilder spec;
  for (int d = 0; d < dimensions; ++d) spec.Double(absl::StrCat("x", d), 0, 1);
  return spec;
}

std::map<std::string, double> SharesIn(const v1::StudyInsight& insight) {
  std::map<std::string, double> shares;
  for (const auto& i : insight.importances()) shares[i.parameter_id()] = i.share();
  return shares;
}

TEST(InsightTest, SharesOfASumAreThoseOfItsVariances) {
  // Variances 9/12, 4/12 and 0: shares 9/13, 4/13 and 0.
  const auto trials =
      Trials(2000, 3, [](const std::vector<double>& x) { return 3 * x[0] + 2 * x[1]; });
  const auto insight = MakeInsight(Cube(3).spec(), trials, "");
  ASSERT_TRUE(insight.ok()) << insight.status();
  auto shares = SharesIn(*insight);
  EXPECT_NEAR(shares["x0"], 9.0 / 13, 0.06);
  EXPECT_NEAR(shares["x1"], 4.0 / 13, 0.06);
  EXPECT_LT(shares["x2"], 0.02);
  EXPECT_LT(insight->interactions(), 0.1);
  EXPECT_EQ(insight->importances(0).parameter_id(), "x0");
  EXPECT_EQ(insight->trials(), 2000);
}

TEST(InsightTest, AProductIsSeenAsActingTogether) {
  const auto trials =
      Trials(2000, 2, [](const std::vector<double>& x) { return (x[0] - 0.5) * (x[1] - 0.5); });
  const auto insight = MakeInsight(Cube(2).spec(), trials, "loss");
  ASSERT_TRUE(insight.ok()) << insight.status();
  EXPECT_GT(insight->interactions(), 0.6);
}

TEST(InsightTest, CategoriesCount) {
  SpecBuilder spec;
  spec.Double("x", 0, 1).Categories("opt", {"a", "b", "c"});
  Random random(4);
  std::vector<TrialRecord> trials;
  for (int i = 0; i < 300; ++i) {
    v1::ParameterValue opt;
    opt.set_parameter_id("opt");
    const int which = static_cast<int>(random.Below(3));
    opt.set_text(std::string(1, static_cast<char>('a' + which)));
    const double x = random.Uniform();
    trials.push_back(Succeeded(i + 1, {Value("x", x), opt}, (which == 1 ? 0 : 5) + 0.1 * x));
  }
  const auto insight = MakeInsight(spec.spec(), trials, "");
  ASSERT_TRUE(insight.ok()) << insight.status();
  EXPECT_GT(SharesIn(*insight)["opt"], 0.9);
}

TEST(InsightTest, TheOptimumOfABowlIsPredicted) {
  const auto bowl = [](const std::vector<double>& x) {
    return 7 + std::pow(x[0] - 0.3, 2) + 2 * std::pow(x[1] - 0.6, 2);
  };
  const auto insight = MakeInsight(Cube(2).spec(), Trials(60, 2, bowl), "");
  ASSERT_TRUE(insight.ok()) << insight.status();
  const auto& optimum = insight->predicted_optimum();
  EXPECT_NEAR(optimum.parameters(0).number(), 0.3, 0.03);
  EXPECT_NEAR(optimum.parameters(1).number(), 0.6, 0.03);
  EXPECT_NEAR(optimum.value(), 7, 0.01);
  EXPECT_LE(optimum.low(), optimum.value());
  EXPECT_GE(optimum.high(), optimum.value());
}

TEST(InsightTest, MaximizedMetricsKeepTheirSign) {
  SpecBuilder spec(v1::StudySpec::MAXIMIZE);
  spec.Double("x0", 0, 1);
  const auto insight = MakeInsight(
      spec.spec(),
      Trials(40, 1, [](const std::vector<double>& x) { return 5 - std::pow(x[0] - 0.8, 2); }), "");
  ASSERT_TRUE(insight.ok()) << insight.status();
  EXPECT_NEAR(insight->predicted_optimum().value(), 5, 0.01);
  EXPECT_NEAR(insight->predicted_optimum().parameters(0).number(), 0.8, 0.05);
}

TEST(InsightTest, LuckDoesNotMakeABestTrial) {
  // A flat noisy plain with one lucky draw, and a place that is good again and again.
  Random random(8);
  std::vector<TrialRecord> trials;
  for (int i = 0; i < 60; ++i) {
    const double x = i / 59.0;
    const double noise = 0.3 * random.Normal();
    trials.push_back(Succeeded(i + 1, {Value("x0", x)}, 4 * std::abs(x - 0.25) + noise));
  }
  trials[55].final_measurement->mutable_metrics(0)->set_value(-0.9);  // x = 0.93
  const auto insight = MakeInsight(Cube(1).spec(), trials, "");
  ASSERT_TRUE(insight.ok()) << insight.status();
  EXPECT_NEAR(insight->best_trial() / 59.0, 0.25, 0.12);
}

TEST(InsightTest, FewOrHostileTrialsAreAnswered) {
  const auto spec = Cube(2);
  EXPECT_EQ(MakeInsight(spec.spec(), {}, "")->importances_size(), 0);
  EXPECT_EQ(ReasonOf(MakeInsight(spec.spec(), {}, "speed").status()), "NOT_FOUND");
  const double huge = 1e308;
  for (const double value : {0.0, huge, -huge, std::nan(""), HUGE_VAL}) {
    int calls = 0;
    const auto trials = Trials(
        30, 2, [&](const std::vector<double>&) { return ++calls % 3 == 0 ? -value : value; });
    const auto insight = MakeInsight(spec.spec(), trials, "");
    ASSERT_TRUE(insight.ok()) << insight.status();
    for (const auto& i : insight->importances()) EXPECT_TRUE(std::isfinite(i.share())) << value;
    EXPECT_TRUE(std::isfinite(insight->predicted_optimum().value())) << value;
  }
}

}  // namespace
}  // namespace trainyard::tuning
