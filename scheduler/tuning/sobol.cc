// See sobol.h.
#include "scheduler/tuning/sobol.h"

#include <array>
#include <memory>

#include "common/random.h"

namespace trainyard::tuning {
namespace {

using Directions = std::array<std::array<uint32_t, 32>, kSobolDimensionsMax>;

const Directions& DirectionNumbers() {
  static const Directions* const directions = [] {
    auto out = std::make_unique<Directions>();
    for (int bit = 0; bit < 32; ++bit) (*out)[0][bit] = 1U << (31 - bit);
    for (int d = 1; d < kSobolDimensionsMax; ++d) {
      const SobolDimension& row = kSobolDimensions[d - 1];
      auto& v = (*out)[d];
      for (int i = 0; i < row.degree; ++i) v[i] = row.initial[i] << (31 - i);
      for (int i = row.degree; i < 32; ++i) {
        v[i] = v[i - row.degree] ^ (v[i - row.degree] >> row.degree);
        for (int k = 1; k < row.degree; ++k) {
          if ((row.polynomial >> (row.degree - 1 - k)) & 1) v[i] ^= v[i - k];
        }
      }
    }
    return out.release();
  }();
  return *directions;
}

// Each bit is flipped by a hash of the bits above it: a random binary tree of flips.
uint32_t Scramble(uint32_t x, uint64_t seed) {
  uint32_t out = x;
  for (int bit = 0; bit < 32; ++bit) {
    const uint64_t prefix = bit == 0 ? 1 : (1ULL << bit) | (x >> (32 - bit));
    if (MixSeed(seed, prefix) >> 63) out ^= 1U << (31 - bit);
  }
  return out;
}

}  // namespace

uint32_t SobolBits(uint32_t index, int dimension) {
  const auto& directions = DirectionNumbers()[dimension];
  uint32_t x = 0;
  for (int bit = 0; index != 0; ++bit, index >>= 1) {
    if (index & 1) x ^= directions[bit];
  }
  return x;
}

std::vector<double> ScrambledSobol(uint64_t seed, uint32_t index, int dimensions) {
  std::vector<double> point(dimensions);
  for (int d = 0; d < dimensions; ++d) {
    const uint64_t dimension_seed = MixSeed(seed, 0x50b01 + d);
    const uint64_t fill = MixSeed(dimension_seed, (1ULL << 40) + index);
    const uint64_t high = d < kSobolDimensionsMax ? Scramble(SobolBits(index, d), dimension_seed)
                                                  : (fill * 0x9e3779b97f4a7c15ULL) >> 32;
    point[d] = static_cast<double>((high << 21) | (fill >> 43)) * 0x1.0p-53;
  }
  return point;
}

}  // namespace trainyard::tuning
