// Promises that hold for every algorithm: determinism, no duplicates, valid points, hostile
// histories, exhaustion, repeats, best trials.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "scheduler/tuning/tuning.h"
#include "tests/scheduler/tuning/builders.h"

namespace trainyard::tuning {
namespace {

using Spec = v1::StudySpec;

SpecBuilder SmallSpace() {
  SpecBuilder builder;
  builder.Double("x", -1, 1)
      .Integer("n", 1, 8)
      .Categories("opt", {"sgd", "adam"})
      .Under({"sgd"})
      .Double("momentum", 0, 0.99);
  return builder;
}

double Bowl(const std::vector<v1::ParameterValue>& p) {
  const double x = Number(p, "x");
  const double n = Number(p, "n");
  return x * x + 0.1 * (n - 3) * (n - 3) + (Text(p, "opt") == "sgd" ? 0.2 : 0);
}

std::string AllOf(const SuggestResult& result) {
  std::string out;
  for (const auto& suggestion : result.suggestions) out += ToText(suggestion.parameters) + "\n";
  return out;
}

class AlgorithmTest : public testing::TestWithParam<Spec::Algorithm> {
 protected:
  SpecBuilder Space() { return SmallSpace().Algorithm(GetParam()); }
};

TEST_P(AlgorithmTest, SameSeedSameAnswersAlsoWhenRebuilt) {
  auto first = Space().Make(5);
  std::vector<TrialRecord> records;
  std::string last;
  for (int32_t id = 1; id <= 24; ++id) {
    auto result = first->Suggest(id, 1);
    ASSERT_TRUE(result.ok());
    last = AllOf(*result);
    records.push_back(
        Succeeded(id, result->suggestions[0].parameters, Bowl(result->suggestions[0].parameters)));
    if (id < 24) first->Observe(records.back());
  }
  auto rebuilt = Space().Make(5);
  for (int i = 22; i >= 0; --i) rebuilt->Observe(records[i]);
  auto again = rebuilt->Suggest(24, 1);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(AllOf(*again), last);
  auto twice = rebuilt->Suggest(24, 1);
  EXPECT_EQ(AllOf(*twice), last) << "asking changes nothing";
  auto other = Space().Make(6);
  EXPECT_NE(AllOf(*other->Suggest(1, 1)), AllOf(*Space().Make(5)->Suggest(1, 1)));
}

TEST_P(AlgorithmTest, BatchEqualsAskingOneByOneWithPendingTrials) {
  auto batch = Space().Make(5);
  auto single = Space().Make(5);
  for (int32_t id = 1; id <= 12; ++id) {
    const auto p = single->Suggest(id, 1)->suggestions[0].parameters;
    for (auto* o : {batch.get(), single.get()}) o->Observe(Succeeded(id, p, Bowl(p)));
  }
  const std::string expected = AllOf(*batch->Suggest(13, 6));
  std::string got;
  for (int32_t id = 13; id < 19; ++id) {
    auto result = single->Suggest(id, 1);
    got += AllOf(*result);
    single->Observe(Pending(id, result->suggestions[0].parameters));
  }
  EXPECT_EQ(got, expected);
}

TEST_P(AlgorithmTest, NoDuplicatesAndAlwaysInside) {
  auto optimizer = Space().Make(3);
  std::set<std::string> seen;
  RunStudy(
      optimizer.get(),
      [&](const std::vector<v1::ParameterValue>& p) {
        EXPECT_TRUE(seen.insert(ToText(p)).second) << ToText(p);
        EXPECT_LE(std::abs(Number(p, "x")), 1);
        EXPECT_GE(Number(p, "n"), 1);
        EXPECT_LE(Number(p, "n"), 8);
        EXPECT_EQ(Has(p, "momentum"), Text(p, "opt") == "sgd");
        return Bowl(p);
      },
      60, 4);
  EXPECT_EQ(seen.size(), 60u);
}

TEST_P(AlgorithmTest, HostileHistoriesGetGoodSuggestions) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<std::vector<double>> histories = {
      {std::nan(""), inf, -inf, std::nan("")},
      {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
      {1e308, -1e308, 1e308, -1e308, 0, 1e-308, 1e308},
      {1e308, 1e308, 1e308, 1e307, 1.7e308, -1.7e308, 3, 4, 5, 6, 7, 8, 9, 10, 11},
      {5e-324, 0, -5e-324, 5e-324, 0, 0, 0, 0, 0, 0, 0, 0},
  };
  for (const auto& values : histories) {
    auto optimizer = Space().Make(9);
    int32_t id = 1;
    for (int round = 0; round < 3; ++round) {
      for (const double value : values) {
        auto result = optimizer->Suggest(id, 1);
        ASSERT_TRUE(result.ok()) << result.status();
        ASSERT_EQ(result->suggestions.size(), 1u);
        const auto& p = result->suggestions[0].parameters;
        EXPECT_LE(std::abs(Number(p, "x")), 1);
        optimizer->Observe(Succeeded(id++, p, value));
      }
    }
    EXPECT_LE(optimizer->Best(3).size(), 3u);
    optimizer->AdviseStops();
  }
}

TEST_P(AlgorithmTest, AThousandFailuresAndSameParametersDoNoHarm) {
  auto optimizer = Space().Make(9);
  const auto p = optimizer->Suggest(1, 1)->suggestions[0].parameters;
  for (int32_t id = 1; id <= 1000; ++id) optimizer->Observe(Failed(id, p));
  auto result = optimizer->Suggest(1001, 3);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->suggestions.size(), 3u);
  EXPECT_TRUE(optimizer->Best(5).empty());
  for (int32_t id = 1001; id <= 1060; ++id) optimizer->Observe(Succeeded(id, p, id % 3));
  result = optimizer->Suggest(1061, 2);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->suggestions.size(), 2u);
}

TEST_P(AlgorithmTest, FiniteSpaceIsEmptiedWithoutRepeats) {
  SpecBuilder builder;
  builder.Integer("n", 0, 3).Categories("c", {"a", "b", "d"}).Categories("one", {"only"});
  auto optimizer = builder.Algorithm(GetParam()).Make(2);
  std::set<std::string> seen;
  const auto values = RunStudy(
      optimizer.get(),
      [&](const std::vector<v1::ParameterValue>& p) {
        seen.insert(ToText(p));
        return Number(p, "n");
      },
      30, 5);
  EXPECT_EQ(values.size(), 12u);
  EXPECT_EQ(seen.size(), 12u);
  auto result = optimizer->Suggest(13, 1);
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(result->exhausted);
  EXPECT_TRUE(result->suggestions.empty());
}

std::string AlgorithmName(const testing::TestParamInfo<Spec::Algorithm>& info) {
  return Spec::Algorithm_Name(info.param);
}

INSTANTIATE_TEST_SUITE_P(All, AlgorithmTest,
                         testing::Values(Spec::ALGORITHM_UNSPECIFIED, Spec::RANDOM, Spec::SOBOL,
                                         Spec::GP, Spec::TPE, Spec::CMA_ES, Spec::BOHB),
                         AlgorithmName);

TEST(OptimizerTest, GridGoesThroughInOrderAndEnds) {
  SpecBuilder builder;
  builder.Integer("n", 1, 2).Categories("c", {"a", "b"}).Algorithm(Spec::GRID);
  auto optimizer = builder.Make();
  auto result = optimizer->Suggest(1, 10);
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(result->exhausted);
  EXPECT_EQ(AllOf(*result), "n=1 c=a\nn=1 c=b\nn=2 c=a\nn=2 c=b\n");
}

TEST(OptimizerTest, GivenTrialsAndDefaultsComeFirst) {
  SpecBuilder builder = SmallSpace();
  builder->mutable_parameters(0)->mutable_double_range()->set_default_value(0.25);
  auto* given = builder->add_initial_trials()->add_parameters();
  given->set_parameter_id("opt");
  given->set_text("adam");
  auto optimizer = builder.Make();
  auto result = optimizer->Suggest(1, 3);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(ToText(result->suggestions[0].parameters), "x=0.25 n=5 opt=adam");
  EXPECT_EQ(Number(result->suggestions[1].parameters, "x"), 0.25);
  EXPECT_NE(Number(result->suggestions[2].parameters, "x"), 0.25);
}

TEST(OptimizerTest, RepeatPolicyMeasuresEachPointSoOften) {
  SpecBuilder builder = SmallSpace();
  builder->set_duplicates(Spec::REPEAT);
  builder->set_repeats(3);
  auto optimizer = builder.Make();
  std::vector<std::string> points;
  RunStudy(
      optimizer.get(),
      [&](const std::vector<v1::ParameterValue>& p) {
        points.push_back(ToText(p));
        return Bowl(p);
      },
      12, 2);
  for (size_t i = 0; i < points.size(); ++i) EXPECT_EQ(points[i], points[i / 3 * 3]) << i;
  EXPECT_EQ(std::set<std::string>(points.begin(), points.end()).size(), 4u);
}

TEST(OptimizerTest, RepeatPolicyEndsWithTheSpace) {
  for (const auto algorithm : {Spec::RANDOM, Spec::GRID, Spec::ALGORITHM_UNSPECIFIED}) {
    SpecBuilder builder;
    builder.Categories("c", {"a", "b", "c"}).Algorithm(algorithm);
    builder->set_duplicates(Spec::REPEAT);
    builder->set_repeats(2);
    auto optimizer = builder.Make();
    std::multiset<std::string> points;
    bool exhausted = false;
    for (int32_t id = 1; id <= 20 && !exhausted; ++id) {
      const auto result = optimizer->Suggest(id, 1);
      ASSERT_TRUE(result.ok());
      exhausted = result->exhausted;
      for (const Suggestion& suggestion : result->suggestions) {
        points.insert(ToText(suggestion.parameters));
        optimizer->Observe(Succeeded(id, suggestion.parameters, 1));
      }
    }
    EXPECT_TRUE(exhausted);
    EXPECT_EQ(points.size(), 6u);
    for (const char* point : {"c=a", "c=b", "c=c"}) EXPECT_EQ(points.count(point), 2u) << point;
  }
}

TEST(OptimizerTest, ReusePolicyNamesTheEqualTrial) {
  SpecBuilder builder;
  builder.Categories("c", {"a"}).Algorithm(Spec::RANDOM);
  builder->set_duplicates(Spec::REUSE);
  auto optimizer = builder.Make();
  auto result = optimizer->Suggest(1, 1);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->suggestions[0].same_as, 0);
  optimizer->Observe(Succeeded(1, result->suggestions[0].parameters, 1));
  result = optimizer->Suggest(2, 1);
  ASSERT_EQ(result->suggestions.size(), 1u);
  EXPECT_EQ(result->suggestions[0].same_as, 1);
}

TEST(OptimizerTest, BestIsByGoalAndFullTrialsFirst) {
  SpecBuilder builder(Spec::MAXIMIZE);
  builder.Double("x", 0, 1);
  auto optimizer = builder.Make();
  const double values[] = {0.1, 0.9, 0.5, 0.95};
  for (int32_t id = 1; id <= 4; ++id) {
    TrialRecord record = Succeeded(id, {}, values[id - 1]);
    record.stopped_early = id == 4;
    optimizer->Observe(record);
  }
  optimizer->Observe(Succeeded(5, {}, std::nan("")));
  EXPECT_EQ(optimizer->Best(2), (std::vector<int32_t>{2, 3}));
  EXPECT_EQ(optimizer->Best(9), (std::vector<int32_t>{2, 3, 1, 4}));
}

TEST(OptimizerTest, BestOfTwoMetricsIsTheParetoFront) {
  SpecBuilder builder;
  builder.Metric("cost", Spec::MINIMIZE).Double("x", 0, 1);
  auto optimizer = builder.Make();
  const std::pair<double, double> values[] = {{1, 5}, {2, 2}, {3, 3}, {5, 1}, {2, 2}};
  for (int32_t id = 1; id <= 5; ++id) {
    TrialRecord record = Succeeded(id, {}, values[id - 1].first);
    auto* cost = record.final_measurement->add_metrics();
    cost->set_metric_id("cost");
    cost->set_value(values[id - 1].second);
    optimizer->Observe(record);
  }
  EXPECT_EQ(optimizer->Best(9), (std::vector<int32_t>{1, 2, 5, 4}));
}

TEST(OptimizerTest, SafetyThresholdIsALimitNotAGoal) {
  SpecBuilder builder;
  builder.Metric("latency", Spec::MINIMIZE).Double("x", 0, 1);
  builder->mutable_metrics(1)->set_safety_threshold(10);
  auto optimizer = builder.Make();
  const std::pair<double, double> values[] = {{1, 50}, {2, 9}, {3, 1}};
  for (int32_t id = 1; id <= 3; ++id) {
    TrialRecord record = Succeeded(id, {}, values[id - 1].first);
    auto* latency = record.final_measurement->add_metrics();
    latency->set_metric_id("latency");
    latency->set_value(values[id - 1].second);
    optimizer->Observe(record);
  }
  EXPECT_EQ(optimizer->Best(9), (std::vector<int32_t>{2}));
}

TEST(OptimizerTest, ImpossibleAskIsRefused) {
  auto optimizer = SmallSpace().Make();
  EXPECT_FALSE(optimizer->Suggest(0, 1).ok());
  EXPECT_FALSE(optimizer->Suggest(1, -1).ok());
  EXPECT_TRUE(optimizer->Suggest(1, 0)->suggestions.empty());
}

}  // namespace
}  // namespace trainyard::tuning
