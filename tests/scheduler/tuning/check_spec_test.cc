// CheckStudySpec: every fault at once, with its place.
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "scheduler/tuning/tuning.h"
#include "tests/scheduler/tuning/builders.h"

namespace trainyard::tuning {
namespace {

std::vector<std::string> Fields(const v1::StudySpec& spec) {
  std::vector<std::string> fields;
  const v1::Faults faults = FaultsOf(CheckStudySpec(spec));
  for (const auto& fault : faults.faults()) {
    fields.push_back(fault.reason() + " " + fault.field());
    EXPECT_FALSE(fault.message().empty());
  }
  return fields;
}

struct BadSpec {
  const char* name;
  SpecBuilder builder;
  const char* expected;
};

std::vector<BadSpec> BadSpecs() {
  const double inf = std::numeric_limits<double>::infinity();
  std::vector<BadSpec> rows;
  const auto add = [&rows](const char* name, SpecBuilder builder, const char* expected) {
    rows.push_back({name, std::move(builder), expected});
  };
  add("no parameter", SpecBuilder(), "MISSING_FIELD parameters");
  add("exchanged", SpecBuilder().Double("x", 1, 0), "BAD_SEARCH_SPACE parameters[0].max");
  add("infinite", SpecBuilder().Double("x", 0, inf), "BAD_SEARCH_SPACE parameters[0].max");
  add("log of zero", SpecBuilder().Double("a", 0, 1).Double("x", 0, 1, v1::StudySpec::LOG),
      "BAD_SEARCH_SPACE parameters[1].min");
  add("log integer", SpecBuilder().Integer("x", 0, 9, v1::StudySpec::LOG),
      "BAD_SEARCH_SPACE parameters[0].min");
  add("huge integer", SpecBuilder().Integer("x", 0, 1LL << 60), "BAD_SEARCH_SPACE parameters[0]");
  add("no category", SpecBuilder().Categories("x", {}), "BAD_SEARCH_SPACE parameters[0].values");
  add("twice", SpecBuilder().Numbers("x", {1, 1}), "BAD_SEARCH_SPACE parameters[0].values");
  add("same name", SpecBuilder().Integer("x", 0, 1).Integer("x", 0, 2),
      "BAD_SEARCH_SPACE parameters[1].parameter_id");
  add("wrong condition", SpecBuilder().Categories("c", {"a"}).Under({"b"}).Integer("x", 0, 1),
      "BAD_SEARCH_SPACE parameters[0].conditional_parameters[0].condition");
  add("grid of a continuum", SpecBuilder().Double("x", 0, 1).Algorithm(v1::StudySpec::GRID),
      "BAD_SEARCH_SPACE parameters.x");
  add("not built in",
      SpecBuilder().Double("x", 0, 1).Algorithm(static_cast<v1::StudySpec::Algorithm>(99)),
      "NOT_SUPPORTED algorithm");
  SpecBuilder taught = SpecBuilder().Double("x", 0, 1).Algorithm(v1::StudySpec::TPE);
  taught->add_transfer_from("earlier");
  add("earlier studies that nobody reads", taught, "NOT_SUPPORTED transfer_from");
  SpecBuilder regret = SpecBuilder().Double("x", 0, 1);
  regret->mutable_study_stopping()->set_regret_below(-1);
  add("negative regret", regret, "OUT_OF_RANGE study_stopping.regret_below");
  SpecBuilder two = SpecBuilder().Double("x", 0, 1).Metric("cost", v1::StudySpec::MINIMIZE);
  two->mutable_study_stopping()->set_regret_below(1);
  add("regret of two metrics", two, "NOT_SUPPORTED study_stopping.regret_below");
  return rows;
}

TEST(CheckSpecTest, EachFaultIsNamedWithItsPlace) {
  for (const BadSpec& row : BadSpecs()) {
    EXPECT_EQ(Fields(row.builder.spec()), std::vector<std::string>{row.expected}) << row.name;
    EXPECT_FALSE(MakeOptimizer(row.builder.spec(), 1).ok()) << row.name;
  }
}

TEST(CheckSpecTest, AllFaultsComeTogether) {
  v1::StudySpec spec;
  spec.add_metrics();
  auto* parameter = spec.add_parameters();
  parameter->set_parameter_id("x");
  parameter->mutable_double_range()->set_min(2);
  parameter->mutable_double_range()->set_max(1);
  parameter->mutable_double_range()->set_default_value(9);
  spec.mutable_stopping()->set_reduction_factor(0.5);
  EXPECT_EQ(Fields(spec).size(), 5u);
}

TEST(CheckSpecTest, GivenTrialsLieInTheSpace) {
  SpecBuilder builder;
  builder.Double("x", 0, 1);
  auto* value = builder->add_initial_trials()->add_parameters();
  value->set_parameter_id("x");
  value->set_number(0.5);
  EXPECT_TRUE(CheckStudySpec(builder.spec()).ok());
  value->set_number(2);
  EXPECT_EQ(Fields(builder.spec()), std::vector<std::string>{"BAD_VALUE initial_trials[0].x"});
  value->set_parameter_id("y");
  EXPECT_EQ(Fields(builder.spec()), std::vector<std::string>{"BAD_VALUE initial_trials[0].y"});
}

TEST(CheckSpecTest, DeepTreesAreRefusedAndNotWalked) {
  v1::StudySpec spec = SpecBuilder().spec();
  auto* parameter = spec.add_parameters();
  for (int depth = 0; depth < 60; ++depth) {
    parameter->set_parameter_id(absl::StrCat("p", depth));
    parameter->mutable_integer_range()->set_max(1);
    auto* child = parameter->add_conditional_parameters();
    child->mutable_condition()->add_integer_values(1);
    parameter = child->mutable_parameter();
  }
  EXPECT_EQ(ReasonOf(CheckStudySpec(spec)), "BAD_SEARCH_SPACE");
}

}  // namespace
}  // namespace trainyard::tuning
