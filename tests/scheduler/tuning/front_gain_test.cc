// Expected gain of a front of two goals against drawing many values, and its derivatives against
// differences.
#include "scheduler/tuning/front_gain.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "common/random.h"
#include "scheduler/tuning/math.h"

namespace trainyard::tuning {
namespace {

// Area below the reference that `points` beat.
double Area(std::vector<Goals> points, const Goals& reference) {
  std::sort(points.begin(), points.end());
  double area = 0;
  double lowest = reference[1];
  for (const Goals& point : points) {
    if (point[0] >= reference[0] || point[1] >= lowest) continue;
    area += (reference[0] - point[0]) * (lowest - point[1]);
    lowest = point[1];
  }
  return area;
}

const std::vector<Goals> kPoints = {{0.1, 0.9}, {0.4, 0.5}, {0.5, 0.6}, {0.8, 0.2}, {1.5, -1}};
constexpr Goals kReference = {1, 1.2};

TEST(FrontGainTest, AgreesWithDraws) {
  const FrontGain front(kPoints, kReference);
  const double before = Area(kPoints, kReference);
  const std::vector<std::pair<Expected, Expected>> cases = {
      {{0.3, 0.2}, {0.4, 0.3}}, {{0.9, 0.5}, {1.1, 0.2}}, {{-0.2, 0.1}, {1.0, 0.4}}};
  for (const auto& [first, second] : cases) {
    Random random(7);
    double sum = 0;
    constexpr int kDraws = 200000;
    for (int i = 0; i < kDraws; ++i) {
      std::vector<Goals> points = kPoints;
      points.push_back({first.mean + first.deviation * NormalDraw(&random),
                        second.mean + second.deviation * NormalDraw(&random)});
      sum += Area(points, kReference) - before;
    }
    EXPECT_NEAR(std::exp(front.LogAt(first, second, nullptr)), sum / kDraws, 0.003);
  }
}

TEST(FrontGainTest, SlopesAgreeWithDifferences) {
  const FrontGain front(kPoints, kReference);
  const std::array<double, 4> at = {0.35, 0.2, 0.7, 0.3};
  const auto value = [&front](const std::array<double, 4>& x) {
    return front.LogAt({x[0], x[1]}, {x[2], x[3]}, nullptr);
  };
  std::array<double, 4> slopes;
  front.LogAt({at[0], at[1]}, {at[2], at[3]}, &slopes);
  for (size_t i = 0; i < 4; ++i) {
    std::array<double, 4> up = at;
    std::array<double, 4> down = at;
    up[i] += 1e-6;
    down[i] -= 1e-6;
    EXPECT_NEAR(slopes[i], (value(up) - value(down)) / 2e-6, 1e-5) << i;
  }
}

TEST(FrontGainTest, OfNoPointsAndOfHopelessOnes) {
  const FrontGain none({}, {0, 0});
  EXPECT_NEAR(std::exp(none.LogAt({-1, 1e-9}, {-2, 1e-9}, nullptr)), 2, 1e-6);
  std::array<double, 4> slopes;
  EXPECT_LT(none.LogAt({100, 0.1}, {100, 0.1}, &slopes), -600);
  for (const double slope : slopes) EXPECT_EQ(slope, 0);
}

}  // namespace
}  // namespace trainyard::tuning
