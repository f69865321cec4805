// Sobol' points with Owen's nested uniform scrambling. A point is a function of (seed, index): no
// state, so a point can be had again at any time. Source: I. M. Sobol' (1967); S. Joe and F. Y. Kuo
// (2008) for the direction numbers; A. B. Owen (1995) for the scrambling. Pure; thread-safe.
#ifndef TRAINYARD_SCHEDULER_TUNING_SOBOL_H_
#define TRAINYARD_SCHEDULER_TUNING_SOBOL_H_

#include <cstdint>
#include <vector>

namespace trainyard::tuning {

inline constexpr int kSobolDimensionsMax = 128;

struct SobolDimension {
  int degree;
  uint32_t polynomial;
  uint32_t initial[10];
};
extern const SobolDimension kSobolDimensions[kSobolDimensionsMax - 1];  // from dimension 2

// Coordinate `dimension` (from 0, below kSobolDimensionsMax) of point `index` in the sequence's
// natural order, as a 32-bit fraction, not scrambled.
uint32_t SobolBits(uint32_t index, int dimension);

// Point `index` of the sequence scrambled by `seed`, each coordinate in [0, 1). Dimensions beyond
// the table are hashed, thus merely random.
std::vector<double> ScrambledSobol(uint64_t seed, uint32_t index, int dimensions);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_SOBOL_H_
