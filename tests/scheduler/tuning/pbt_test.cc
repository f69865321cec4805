// Population based training: who goes on, who takes over from whom, and that a population learns
// a schedule that no fixed parameters could follow.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "scheduler/tuning/tuning.h"
#include "tests/scheduler/tuning/builders.h"

namespace trainyard::tuning {
namespace {

using Spec = v1::StudySpec;

SpecBuilder Population() {
  SpecBuilder builder;
  builder.Double("lr", 1e-4, 1, Spec::LOG).Double("x", 0, 1).Algorithm(Spec::PBT);
  return builder;  // two parameters: four members
}

TEST(PbtTest, TheBestGoesOnAndTheWorstTakesOver) {
  auto optimizer = Population().Make(3);
  std::map<int32_t, std::string> asked;
  for (int32_t id = 1; id <= 4; ++id) {
    auto result = optimizer->Suggest(id, 1);
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->suggestions[0].origin, 0) << "the first stretch begins from nothing";
    asked[id] = ToText(result->suggestions[0].parameters);
    optimizer->Observe(Succeeded(id, result->suggestions[0].parameters, id));
  }
  for (int32_t id = 5; id <= 7; ++id) {
    auto result = optimizer->Suggest(id, 1);
    EXPECT_EQ(result->suggestions[0].origin, id - 4);
    EXPECT_EQ(ToText(result->suggestions[0].parameters), asked[id - 4]);
  }
  auto worst = optimizer->Suggest(8, 1);
  EXPECT_EQ(worst->suggestions[0].origin, 1) << "from the best";
  EXPECT_NE(ToText(worst->suggestions[0].parameters), asked[1]) << "and changed";
  EXPECT_NE(ToText(worst->suggestions[0].parameters), asked[4]);
}

TEST(PbtTest, FailedMembersTakeOverAndNobodyWaits) {
  auto optimizer = Population().Make(3);
  for (int32_t id = 1; id <= 4; ++id) {
    const auto p = optimizer->Suggest(id, 1)->suggestions[0].parameters;
    if (id == 2) optimizer->Observe(Failed(id, p));
    if (id == 3) optimizer->Observe(Succeeded(id, p, 1));
    if (id == 1 || id == 4) optimizer->Observe(Pending(id, p));
  }
  for (int32_t id = 5; id <= 8; ++id) {
    EXPECT_EQ(optimizer->Suggest(id, 1)->suggestions[0].origin, 3) << "the only sound one";
  }
}

// The rate of learning that pays falls as training goes on: a fixed one gets stuck.
struct Training {
  std::map<int32_t, double> distance;  // left of every trial
  double Stretch(int32_t origin, int32_t id, double lr) {
    const double from = origin == 0 ? 1 : distance.at(origin);
    const double ratio = lr / (0.3 * from);  // 1 is best, above 2 it diverges
    const double to = from * std::min(2.0, std::abs(1 - 0.5 * ratio * (2 - std::min(ratio, 4.0))));
    distance[id] = std::max(to, 1e-6);
    return distance[id];
  }
};

TEST(PbtTest, LearnsAScheduleThatNoFixedRateCanFollow) {
  auto optimizer = Population().Make(7);
  Training training;
  double best = 1;
  for (int32_t id = 1; id <= 80; ++id) {
    auto result = optimizer->Suggest(id, 1);
    ASSERT_TRUE(result.ok());
    const auto& suggestion = result->suggestions[0];
    const double loss =
        training.Stretch(suggestion.origin, id, Number(suggestion.parameters, "lr"));
    best = std::min(best, loss);
    optimizer->Observe(Succeeded(id, suggestion.parameters, loss));
  }
  double fixed = 1;
  for (double lr = 1e-4; lr < 1; lr *= 1.2) {
    Training alone;
    int32_t id = 1;
    for (; id <= 20; ++id) alone.Stretch(id - 1, id, lr);
    fixed = std::min(fixed, alone.distance.at(20));
  }
  EXPECT_LT(best, fixed) << "a population of four, twenty stretches each";
}

TEST(PbtTest, SameEventsSameAnswersAndInsideTheSpace) {
  SpecBuilder builder;
  builder.Integer("n", 1, 5)
      .Numbers("size", {16, 32, 64})
      .Categories("opt", {"sgd", "adam"})
      .Under({"sgd"})
      .Double("momentum", 0, 0.99)
      .Algorithm(Spec::PBT);
  auto first = builder.Make(5);
  std::vector<TrialRecord> records;
  for (int32_t id = 1; id <= 60; ++id) {
    auto result = first->Suggest(id, 1);
    ASSERT_TRUE(result.ok());
    const auto& p = result->suggestions[0].parameters;
    EXPECT_EQ(Has(p, "momentum"), Text(p, "opt") == "sgd");
    EXPECT_GE(Number(p, "n"), 1);
    EXPECT_LE(Number(p, "n"), 5);
    auto rebuilt = builder.Make(5);
    for (auto it = records.rbegin(); it != records.rend(); ++it) rebuilt->Observe(*it);
    EXPECT_EQ(ToText(rebuilt->Suggest(id, 1)->suggestions[0].parameters), ToText(p));
    records.push_back(Succeeded(id, p, std::abs(Number(p, "n") - 3)));
    first->Observe(records.back());
  }
}

TEST(PbtTest, DuplicatesCannotBeForbidden) {
  SpecBuilder builder = Population();
  builder->set_duplicates(Spec::FORBID);
  EXPECT_FALSE(CheckStudySpec(builder.spec()).ok());
}

}  // namespace
}  // namespace trainyard::tuning
