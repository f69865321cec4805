// The functions of math.h against the C library's, to the last few bits.
#include "scheduler/tuning/math.h"

#include <gtest/gtest.h>

#include <cmath>

namespace trainyard::tuning {
namespace {

TEST(MathTest, ExpAndLogAgreeWithTheLibrary) {
  for (double x = -690; x < 690; x += 0.737) {
    EXPECT_NEAR(Exp(x) / std::exp(x), 1, 4e-15) << x;
    EXPECT_NEAR(Log(std::exp(x)), std::log(std::exp(x)), 1e-15 * (1 + std::abs(x))) << x;
  }
  EXPECT_EQ(Exp(0), 1);
  EXPECT_EQ(Log(1), 0);
  EXPECT_LT(Log(0), -700);
  EXPECT_LT(Log(-1), -700);
}

TEST(MathTest, NormalCdfAgreesWithErfc) {
  for (double z = -30; z < 9; z += 0.0917) {
    const double expected = 0.5 * std::erfc(-z / std::sqrt(2.0));
    EXPECT_NEAR(NormalCdf(z) / expected, 1, 1e-11) << z;
  }
}

TEST(MathTest, LogImprovementIsExactAndItsDerivativeFits) {
  for (double z = -2.4; z < 8; z += 0.11) {
    double derivative;
    const double direct = NormalPdf(z) + z * 0.5 * std::erfc(-z / std::sqrt(2.0));
    EXPECT_NEAR(LogImprovement(z, &derivative), std::log(direct), 1e-9) << z;
  }
  for (double z = -60; z < 8; z += 0.53) {
    double derivative;
    double unused;
    LogImprovement(z, &derivative);
    const double difference =
        (LogImprovement(z + 1e-5, &unused) - LogImprovement(z - 1e-5, &unused)) / 2e-5;
    EXPECT_NEAR(derivative / difference, 1, 1e-5) << z;
  }
}

TEST(MathTest, LogImprovementFarBelowZeroFollowsItsSeries) {
  // log h(z) = -z^2/2 - log(sqrt(2 pi)) - 2 log|z| + log(1 - 3/z^2 + 15/z^4 - ...)
  for (const double z : {-20.0, -100.0, -1000.0}) {
    double derivative;
    const double series = -z * z / 2 - std::log(std::sqrt(2 * M_PI)) - 2 * std::log(-z) +
                          std::log1p(-3 / (z * z) + 15 / (z * z * z * z));
    EXPECT_NEAR(LogImprovement(z, &derivative), series, 1e-5 + 1e-13 * z * z) << z;
  }
}

TEST(MathTest, NormalDrawsHaveUnitVariance) {
  Random random(7);
  double sum = 0;
  double squares = 0;
  const int n = 20000;
  for (int i = 0; i < n; ++i) {
    const double x = NormalDraw(&random);
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / n, 0, 0.03);
  EXPECT_NEAR(squares / n, 1, 0.05);
}

}  // namespace
}  // namespace trainyard::tuning
