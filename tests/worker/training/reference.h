// What a reduction must give: data that every rank can make for every rank, and sums of it in
// float64 with the error that roundings may leave. For the checks of communicators.
#ifndef TRAINYARD_TESTS_WORKER_TRAINING_REFERENCE_H_
#define TRAINYARD_TESTS_WORKER_TRAINING_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "common/random.h"
#include "worker/training/communicator.h"
#include "worker/training/reduce.h"

namespace trainyard::training {

inline bool IsFloat(DataType type) { return type != DataType::kInt32 && type != DataType::kInt64; }

// Relative size of one rounding.
inline double Epsilon(DataType type) {
  switch (type) {
    case DataType::kFloat32:
      return 0x1p-24;
    case DataType::kFloat64:
      return 0x1p-53;
    case DataType::kFloat16:
      return 0x1p-11;
    case DataType::kBFloat16:
      return 0x1p-8;
    case DataType::kInt32:
    case DataType::kInt64:
      return 0;
  }
  return 0;
}

inline double Get(const void* data, size_t i, DataType type) {
  switch (type) {
    case DataType::kFloat32:
      return static_cast<double>(static_cast<const float*>(data)[i]);
    case DataType::kFloat64:
      return static_cast<const double*>(data)[i];
    case DataType::kFloat16:
      return static_cast<double>(FloatOfHalf(static_cast<const uint16_t*>(data)[i]));
    case DataType::kBFloat16:
      return static_cast<double>(FloatOfBrain(static_cast<const uint16_t*>(data)[i]));
    case DataType::kInt32:
      return static_cast<const int32_t*>(data)[i];
    case DataType::kInt64:
      return static_cast<double>(static_cast<const int64_t*>(data)[i]);
  }
  return 0;
}

inline void Set(void* data, size_t i, DataType type, double value) {
  switch (type) {
    case DataType::kFloat32:
      static_cast<float*>(data)[i] = static_cast<float>(value);
      return;
    case DataType::kFloat64:
      static_cast<double*>(data)[i] = value;
      return;
    case DataType::kFloat16:
      static_cast<uint16_t*>(data)[i] = HalfOfFloat(static_cast<float>(value));
      return;
    case DataType::kBFloat16:
      static_cast<uint16_t*>(data)[i] = BrainOfFloat(static_cast<float>(value));
      return;
    case DataType::kInt32:
      static_cast<int32_t*>(data)[i] = static_cast<int32_t>(value);
      return;
    case DataType::kInt64:
      static_cast<int64_t*>(data)[i] = static_cast<int64_t>(value);
      return;
  }
}

// The data of `rank` in test number `seed`.
inline std::vector<char> Data(uint64_t seed, int rank, size_t count, DataType type) {
  Random random(MixSeed(seed, static_cast<uint64_t>(rank)));
  std::vector<char> bytes(count * SizeOf(type) + 8);
  for (size_t i = 0; i < count; ++i) {
    const double uniform = random.Uniform() * 4 - 2;
    const double value = IsFloat(type) ? uniform : std::floor(uniform * 1000);
    Set(bytes.data(), i, type, value);
  }
  return bytes;
}

struct Expected {
  double value = 0;
  double error = 0;  // how far a rounded result may be
};

inline Expected Reduced(const std::vector<std::vector<char>>& all, size_t i, DataType type,
                        ReduceOp op) {
  double value = Get(all[0].data(), i, type), size = std::abs(value);
  for (size_t rank = 1; rank < all.size(); ++rank) {
    const double other = Get(all[rank].data(), i, type);
    size += std::abs(other);
    if (op == ReduceOp::kMin) value = std::min(value, other);
    if (op == ReduceOp::kMax) value = std::max(value, other);
    if (op == ReduceOp::kSum || op == ReduceOp::kMean) value += other;
  }
  if (op == ReduceOp::kMin || op == ReduceOp::kMax) return {value, 0};
  const double ranks = static_cast<double>(all.size());
  double error = size * Epsilon(type) * (ranks + 1);
  if (op == ReduceOp::kMean) {
    value = IsFloat(type) ? value / ranks : std::trunc(value / ranks);
    error /= ranks;
  }
  if (type == DataType::kFloat16) error += 0x1p-24;  // below, halves are subnormal
  return {value, error};
}

}  // namespace trainyard::training

#endif  // TRAINYARD_TESTS_WORKER_TRAINING_REFERENCE_H_
