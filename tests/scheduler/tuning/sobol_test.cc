// Sobol' points against published values, and what scrambling must keep.
#include "scheduler/tuning/sobol.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace trainyard::tuning {
namespace {

TEST(SobolTest, FirstPointsAreThePublishedOnes) {
  // Joe and Kuo's own example: the first 10 points in 3 dimensions, in Gray code order; here the
  // natural order holds the same points at index i ^ (i >> 1).
  const double expected[10][3] = {{0, 0, 0},
                                  {0.5, 0.5, 0.5},
                                  {0.75, 0.25, 0.25},
                                  {0.25, 0.75, 0.75},
                                  {0.375, 0.375, 0.625},
                                  {0.875, 0.875, 0.125},
                                  {0.625, 0.125, 0.875},
                                  {0.125, 0.625, 0.375},
                                  {0.1875, 0.3125, 0.9375},
                                  {0.6875, 0.8125, 0.4375}};
  for (uint32_t i = 0; i < 10; ++i) {
    for (int d = 0; d < 3; ++d) {
      EXPECT_EQ(SobolBits(i ^ (i >> 1), d) * 0x1.0p-32, expected[i][d]) << i << " " << d;
    }
  }
}

TEST(SobolTest, EveryDimensionIsAPermutationOfTheFirstCells) {
  for (int d = 0; d < kSobolDimensionsMax; ++d) {
    std::set<uint32_t> cells;
    std::set<int> scrambled;
    for (uint32_t i = 0; i < 64; ++i) {
      cells.insert(SobolBits(i, d) >> 26);
      scrambled.insert(static_cast<int>(ScrambledSobol(5, i, d + 1)[d] * 64));
    }
    EXPECT_EQ(cells.size(), 64u) << d;
    EXPECT_EQ(scrambled.size(), 64u) << d;
  }
}

TEST(SobolTest, ScramblingKeepsElementaryIntervalsOfTwoDimensions) {
  // Dimensions 1 and 2 are a (0, m, 2) net: each of 16 boxes of any dyadic shape holds one point.
  for (const int width : {1, 2, 4, 8, 16}) {
    std::set<int> boxes;
    for (uint32_t i = 0; i < 16; ++i) {
      const auto p = ScrambledSobol(99, i, 2);
      boxes.insert(static_cast<int>(p[0] * width) * 16 + static_cast<int>(p[1] * (16 / width)));
    }
    EXPECT_EQ(boxes.size(), 16u) << width;
  }
}

TEST(SobolTest, SeedsDifferAndRepeat) {
  EXPECT_EQ(ScrambledSobol(1, 3, 5), ScrambledSobol(1, 3, 5));
  EXPECT_NE(ScrambledSobol(1, 3, 5), ScrambledSobol(2, 3, 5));
  EXPECT_EQ(ScrambledSobol(1, 3, 300).size(), 300u);
}

TEST(SobolTest, IntegratesBetterThanChance) {
  double worst = 0;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    double sum = 0;
    for (uint32_t i = 0; i < 256; ++i) {
      double product = 1;
      for (const double x : ScrambledSobol(seed, i, 4)) product *= 2 * x;
      sum += product;
    }
    worst = std::max(worst, std::abs(sum / 256 - 1));
  }
  EXPECT_LT(worst, 0.05);  // a random sample's standard error is 0.09
}

}  // namespace
}  // namespace trainyard::tuning
