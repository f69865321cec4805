// Elementary functions that give the same bits on every machine: only additions, multiplications,
// divisions and square roots of IEEE 754 doubles (a C library's exp and log differ in the last bit
// between processors, which would make suggestions differ). Pure; thread-safe.
#ifndef TRAINYARD_SCHEDULER_TUNING_MATH_H_
#define TRAINYARD_SCHEDULER_TUNING_MATH_H_

#include <cstdint>
#include <cstring>

#include "common/random.h"

namespace trainyard::tuning {

// e^x for |x| <= 700 (clamped outside), relative error below 1e-15. Branch-free, so that loops over
// it become vector code: Cody and Waite's reduction, then a Taylor polynomial of degree 12.
inline double Exp(double x) {
  x = x < -700.0 ? -700.0 : x;
  x = x > 700.0 ? 700.0 : x;
  constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52: rounds to the nearest integer
  const double shifted = x * 1.4426950408889634 + kMagic;
  const double k = shifted - kMagic;
  const double r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
  double p = 2.08767569878680990e-9;
  p = p * r + 2.50521083854417188e-8;
  p = p * r + 2.75573192239858907e-7;
  p = p * r + 2.75573192239858907e-6;
  p = p * r + 2.48015873015873016e-5;
  p = p * r + 1.98412698412698413e-4;
  p = p * r + 1.38888888888888889e-3;
  p = p * r + 8.33333333333333333e-3;
  p = p * r + 4.16666666666666667e-2;
  p = p * r + 1.66666666666666667e-1;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  int64_t bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  const uint64_t power = (static_cast<uint64_t>(bits) + 1023) << 52;
  double scale;
  std::memcpy(&scale, &power, sizeof(scale));
  return p * scale;
}

// Natural logarithm of a positive x; -745 for x <= 0.
double Log(double x);

// Cumulative standard normal distribution.
double NormalCdf(double z);
// Its logarithm and that one's derivative, exact also for z far below zero.
double LogNormalCdf(double z, double* derivative);
// Standard normal density.
double NormalPdf(double z);
// Standard normal value (polar method over Log).
double NormalDraw(Random* random);

// log(pdf(z) + z cdf(z)), the logarithm of expected improvement in units of the standard deviation
// (Ament and others, "Unexpected improvements to expected improvement", 2023), and its derivative;
// exact also for z far below zero.
double LogImprovement(double z, double* derivative);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_MATH_H_
