// Encoding round trips, scales, conditional trees and grids of Space.
#include "scheduler/tuning/space.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "common/random.h"
#include "scheduler/tuning/sampler.h"
#include "tests/scheduler/tuning/builders.h"

namespace trainyard::tuning {
namespace {

SpecBuilder Mixed() {
  SpecBuilder builder;
  builder.Double("x", -3, 7)
      .Double("lr", 1e-5, 1, v1::StudySpec::LOG)
      .Double("momentum", 0.5, 0.999, v1::StudySpec::REVERSE_LOG)
      .Integer("layers", 1, 10)
      .Integer("units", 16, 1024, v1::StudySpec::LOG)
      .Numbers("batch", {64, 16, 32})
      .Categories("size", {"s", "m", "l"}, true)
      .Categories("opt", {"sgd", "adam"})
      .Under({"sgd"})
      .Double("nesterov", 0, 1)
      .Under({"adam", "sgd"})
      .Integer("decay", -5, -2);
  return builder;
}

TEST(SpaceTest, ParametersSurviveTheRoundTrip) {
  const SpecBuilder builder = Mixed();
  const Space space(builder.spec());
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const Point point = DrawUniform(space, seed);
    const auto parameters = space.ToParameters(point);
    EXPECT_EQ(KeyOf(space.FromParameters(parameters)), KeyOf(point)) << ToText(parameters);
    EXPECT_EQ(Has(parameters, "nesterov"), Text(parameters, "opt") == "sgd");
    EXPECT_TRUE(Has(parameters, "decay"));
  }
}

TEST(SpaceTest, SnapInvertsFeatures) {
  const SpecBuilder builder = Mixed();
  const Space space(builder.spec());
  Random random(3);
  for (const Dimension& dimension : space.dimensions()) {
    for (int i = 0; i < 200; ++i) {
      const double value = dimension.Snap(random.Uniform());
      const double feature = dimension.ToFeature(value);
      EXPECT_GE(feature, 0);
      EXPECT_LE(feature, 1);
      const double again = dimension.Snap(feature);
      if (dimension.Levels() > 0) {
        EXPECT_EQ(again, value) << dimension.id;
      } else {
        EXPECT_NEAR(again, value, 1e-9 * std::abs(value) + 1e-12) << dimension.id;
      }
    }
    EXPECT_LE(dimension.Snap(0), dimension.Snap(1));
  }
}

TEST(SpaceTest, ScalesPutTheMiddleWhereTheyShould) {
  const SpecBuilder builder = Mixed();
  const Space space(builder.spec());
  EXPECT_NEAR(space.dimension(0).Snap(0.5), 2, 1e-12);
  EXPECT_NEAR(space.dimension(1).Snap(0.5), std::sqrt(1e-5), 1e-12);
  // Reverse log mirrors log: dense near the maximum.
  EXPECT_NEAR(space.dimension(2).Snap(0.5), 0.5 + 0.999 - std::sqrt(0.5 * 0.999), 1e-12);
  EXPECT_EQ(space.dimension(3).Snap(0), 1);
  EXPECT_EQ(space.dimension(3).Snap(1), 10);
  EXPECT_EQ(space.dimension(4).Snap(1), 1024);
}

TEST(SpaceTest, IntegersAreDrawnEvenly) {
  SpecBuilder builder;
  builder.Integer("n", 1, 4).Categories("c", {"a", "b", "d"});
  const Space space(builder.spec());
  std::map<double, int> counts;
  std::map<double, int> categories;
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    const Point point = DrawUniform(space, seed);
    ++counts[point[0]];
    ++categories[point[1]];
  }
  ASSERT_EQ(counts.size(), 4u);
  ASSERT_EQ(categories.size(), 3u);
  for (const auto& [value, count] : counts) EXPECT_NEAR(count, 1000, 150) << value;
  for (const auto& [value, count] : categories) EXPECT_NEAR(count, 1333, 150) << value;
}

TEST(SpaceTest, ExtremeRangesStayFinite) {
  SpecBuilder builder;
  builder.Double("huge", -1e308, 1e308)
      .Double("tiny", 1e-308, 1e308, v1::StudySpec::LOG)
      .Double("point", 3, 3)
      .Integer("one", 7, 7, v1::StudySpec::LOG);
  const Space space(builder.spec());
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const Point point = DrawUniform(space, seed);
    for (int d = 0; d < space.size(); ++d) {
      EXPECT_TRUE(std::isfinite(point[d])) << d;
      EXPECT_TRUE(std::isfinite(space.dimension(d).ToFeature(point[d]))) << d;
    }
    EXPECT_EQ(point[2], 3);
    EXPECT_EQ(point[3], 7);
  }
}

TEST(SpaceTest, ForeignParametersAreMovedInside) {
  const SpecBuilder builder = Mixed();
  const Space space(builder.spec());
  v1::ParameterValue far;
  far.set_parameter_id("x");
  far.set_number(1e300);
  v1::ParameterValue unknown;
  unknown.set_parameter_id("who");
  unknown.set_text("?");
  v1::ParameterValue wrong;
  wrong.set_parameter_id("layers");
  wrong.set_text("many");
  v1::ParameterValue nan;
  nan.set_parameter_id("lr");
  nan.set_number(std::nan(""));
  const auto parameters = space.ToParameters(space.FromParameters({far, unknown, wrong, nan}));
  EXPECT_EQ(Number(parameters, "x"), 7);
  EXPECT_FALSE(Has(parameters, "who"));
  EXPECT_TRUE(std::isfinite(Number(parameters, "lr")));
}

TEST(SpaceTest, GridHoldsEveryPointOnce) {
  SpecBuilder builder;
  builder.Integer("n", 2, 4)
      .Categories("opt", {"sgd", "adam", "none"})
      .Under({"sgd"})
      .Numbers("momentum", {0, 0.5, 0.9})
      .Under({"sgd", "adam"})
      .Categories("decay", {"on", "off"});
  const Space space(builder.spec());
  ASSERT_EQ(space.Count(), 3 * (3 * 2 + 2 + 1));
  std::set<std::string> seen;
  for (double i = 0; i < space.Count(); ++i) {
    seen.insert(ToText(space.ToParameters(space.GridPoint(i))));
  }
  EXPECT_EQ(seen.size(), 27u);
  EXPECT_TRUE(seen.count("n=2 opt=sgd momentum=0 decay=on"));
  EXPECT_TRUE(seen.count("n=4 opt=none"));
}

TEST(SpaceTest, ContinuumHasNoCount) {
  SpecBuilder builder;
  builder.Integer("n", 2, 4).Double("x", 0, 1);
  EXPECT_TRUE(std::isinf(Space(builder.spec()).Count()));
}

}  // namespace
}  // namespace trainyard::tuning
