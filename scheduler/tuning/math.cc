// See math.h.
#include "scheduler/tuning/math.h"

#include <cmath>

namespace trainyard::tuning {
namespace {

constexpr double kHalfLogTwoPi = 0.91893853320467274178;

// c of Mills' ratio 1 / (t + c), by its continued fraction; t >= 2.
double MillsTail(double t) {
  double tail = t;
  for (int i = 60; i >= 2; --i) tail = t + i / tail;
  return 1 / tail;
}

}  // namespace

double Log(double x) {
  if (!(x > 0)) return -745;
  int exponent = 0;
  double m = std::frexp(x, &exponent);  // exact
  if (m < 0.70710678118654752440) {
    m *= 2;
    --exponent;
  }
  const double f = (m - 1) / (m + 1);
  const double f2 = f * f;
  double series = 0;
  for (int i = 23; i >= 1; i -= 2) series = series * f2 + 1.0 / i;
  return exponent * 0.69314718055994530942 + 2 * f * series;
}

double NormalPdf(double z) { return Exp(-0.5 * z * z - kHalfLogTwoPi); }

double NormalCdf(double z) {
  if (z < -2.5) return z < -37 ? 0 : NormalPdf(z) / (-z + MillsTail(-z));
  if (z > 2.5) return 1 - NormalCdf(-z);
  double term = z;
  double sum = z;
  for (int i = 3; i < 90; i += 2) {
    term *= z * z / i;
    sum += term;
  }
  return 0.5 + NormalPdf(z) * sum;
}

double LogNormalCdf(double z, double* derivative) {
  if (z < -2.5) {
    const double ratio = -z + MillsTail(-z);  // density over distribution
    *derivative = ratio;
    return -0.5 * z * z - kHalfLogTwoPi - Log(ratio);
  }
  const double cdf = NormalCdf(z);
  *derivative = NormalPdf(z) / cdf;
  return Log(cdf);
}

double NormalDraw(Random* random) {
  for (;;) {
    const double u = 2 * random->Uniform() - 1;
    const double v = 2 * random->Uniform() - 1;
    const double s = u * u + v * v;
    if (s > 0 && s < 1) return u * std::sqrt(-2 * Log(s) / s);
  }
}

double LogImprovement(double z, double* derivative) {
  if (z < -2.5) {
    const double c = MillsTail(-z);
    *derivative = 1 / c;
    return -0.5 * z * z - kHalfLogTwoPi + Log(c / (c - z));
  }
  const double cdf = NormalCdf(z);
  const double h = NormalPdf(z) + z * cdf;
  *derivative = cdf / h;
  return Log(h);
}

}  // namespace trainyard::tuning
