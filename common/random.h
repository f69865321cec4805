// Seeded random numbers that are the same on every machine (xoshiro256**, seeded by splitmix64;
// Blackman and Vigna, 2018), and secret ones from the kernel. The seeded generator is
// thread-compatible.
#ifndef TRAINYARD_COMMON_RANDOM_H_
#define TRAINYARD_COMMON_RANDOM_H_

#include <cstdint>
#include <string>

namespace trainyard {

// Mixes two numbers into a seed; order matters.
uint64_t MixSeed(uint64_t a, uint64_t b);

class Random {
 public:
  using result_type = uint64_t;
  explicit Random(uint64_t seed);
  uint64_t operator()() { return Next(); }
  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return ~0ULL; }

  uint64_t Next();
  // Uniform in [0, 1), 53 bits.
  double Uniform();
  // Uniform in [0, bound); bound > 0.
  uint64_t Below(uint64_t bound);
  // Standard normal (polar method).
  double Normal();

 private:
  uint64_t state_[4];
};

// `bytes` bytes from the kernel's generator.
std::string SecretBytes(size_t bytes);
// "ty_" and 43 characters of base64url: 256 bits.
std::string NewSecretToken();

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_RANDOM_H_
