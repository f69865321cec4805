// See reduce.h.
#include "worker/training/reduce.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace trainyard::training {
namespace {

// How each type is read into the type it is added in, and written back.
template <typename Stored>
struct Plain {
  using stored = Stored;
  static Stored Load(Stored value) { return value; }
  static Stored Store(Stored value) { return value; }
};
struct Half {
  using stored = uint16_t;
  static float Load(uint16_t value) { return FloatOfHalf(value); }
  static uint16_t Store(float value) { return HalfOfFloat(value); }
};
struct Brain {
  using stored = uint16_t;
  static float Load(uint16_t value) { return FloatOfBrain(value); }
  static uint16_t Store(float value) { return BrainOfFloat(value); }
};

// Integer sums wrap, as MPI's do; done unsigned, because signed overflow is undefined.
template <typename T>
T Add(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
  } else {
    return a + b;
  }
}

// Compiled for several instruction sets, the best one chosen at load time: sums of floats are what
// gradients are made of. Sanitizers start too late for such functions.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define TRAINYARD_WIDE __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define TRAINYARD_WIDE
#endif

TRAINYARD_WIDE void AddFloats(float* to, const float* a, const float* b, size_t count) {
#pragma GCC ivdep
  for (size_t i = 0; i < count; ++i) to[i] = a[i] + b[i];
}

TRAINYARD_WIDE void AddFloatsTwice(float* to, float* also, size_t count) {
#pragma GCC ivdep
  for (size_t i = 0; i < count; ++i) to[i] = also[i] = to[i] + also[i];
}

template <typename Kind>
void CombineAs(void* to, const void* a, const void* b, size_t count, ReduceOp op) {
  using T = typename Kind::stored;
  T* out = static_cast<T*>(to);
  const T* x = static_cast<const T*>(a);
  const T* y = static_cast<const T*>(b);
  switch (op) {
    case ReduceOp::kSum:
    case ReduceOp::kMean:
#pragma GCC ivdep
      for (size_t i = 0; i < count; ++i) {
        out[i] = Kind::Store(Add(Kind::Load(x[i]), Kind::Load(y[i])));
      }
      return;
    case ReduceOp::kMin:
#pragma GCC ivdep
      for (size_t i = 0; i < count; ++i) {
        const auto u = Kind::Load(x[i]), v = Kind::Load(y[i]);
        out[i] = Kind::Store(v < u ? v : u);
      }
      return;
    case ReduceOp::kMax:
#pragma GCC ivdep
      for (size_t i = 0; i < count; ++i) {
        const auto u = Kind::Load(x[i]), v = Kind::Load(y[i]);
        out[i] = Kind::Store(u < v ? v : u);
      }
      return;
  }
}

template <typename Kind>
void DivideAs(void* data, size_t count, int divisor) {
  using T = typename Kind::stored;
  using Wide = decltype(Kind::Load(T{}));
  T* values = static_cast<T*>(data);
  for (size_t i = 0; i < count; ++i) {
    values[i] = Kind::Store(Kind::Load(values[i]) / static_cast<Wide>(divisor));
  }
}

}  // namespace

void Combine(void* to, const void* a, const void* b, size_t count, DataType type, ReduceOp op) {
  switch (type) {
    case DataType::kFloat32:
      if (op == ReduceOp::kSum || op == ReduceOp::kMean) {
        return AddFloats(static_cast<float*>(to), static_cast<const float*>(a),
                         static_cast<const float*>(b), count);
      }
      return CombineAs<Plain<float>>(to, a, b, count, op);
    case DataType::kFloat64:
      return CombineAs<Plain<double>>(to, a, b, count, op);
    case DataType::kFloat16:
      return CombineAs<Half>(to, a, b, count, op);
    case DataType::kBFloat16:
      return CombineAs<Brain>(to, a, b, count, op);
    case DataType::kInt32:
      return CombineAs<Plain<int32_t>>(to, a, b, count, op);
    case DataType::kInt64:
      return CombineAs<Plain<int64_t>>(to, a, b, count, op);
  }
}

void Accumulate(void* to, const void* from, size_t count, DataType type, ReduceOp op) {
  Combine(to, to, from, count, type, op);
}

void CombineIntoBoth(void* a, void* b, size_t count, DataType type, ReduceOp op) {
  if (type == DataType::kFloat32 && op == ReduceOp::kSum) {
    return AddFloatsTwice(static_cast<float*>(a), static_cast<float*>(b), count);
  }
  Combine(a, a, b, count, type, op);
  Finish(a, count, type, op, 2);
  std::memcpy(b, a, count * SizeOf(type));
}

void Finish(void* data, size_t count, DataType type, ReduceOp op, int divisor) {
  if (op != ReduceOp::kMean || divisor == 1) return;
  switch (type) {
    case DataType::kFloat32:
      return DivideAs<Plain<float>>(data, count, divisor);
    case DataType::kFloat64:
      return DivideAs<Plain<double>>(data, count, divisor);
    case DataType::kFloat16:
      return DivideAs<Half>(data, count, divisor);
    case DataType::kBFloat16:
      return DivideAs<Brain>(data, count, divisor);
    case DataType::kInt32:
      return DivideAs<Plain<int32_t>>(data, count, divisor);
    case DataType::kInt64:
      return DivideAs<Plain<int64_t>>(data, count, divisor);
  }
}

float FloatOfHalf(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 0x1f;
  const uint32_t fraction = half & 0x3ff;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000 | (fraction << 13));
  if (exponent != 0) {
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
  }
  const float magnitude = static_cast<float>(fraction) * 0x1p-24F;  // subnormal or zero
  return sign != 0 ? -magnitude : magnitude;
}

uint16_t HalfOfFloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;  // 65536 and up, infinity
  if (magnitude < 0x38800000) {
    // Below the smallest normal half: adding 0.5 leaves the rounded fraction in the last bits.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(shifted) - 0x3f000000);
  }
  const uint32_t odd = (magnitude >> 13) & 1;
  return sign | static_cast<uint16_t>((magnitude - 0x38000000 + 0xfff + odd) >> 13);
}

float FloatOfBrain(uint16_t brain) {
  return std::bit_cast<float>(static_cast<uint32_t>(brain) << 16);
}

uint16_t BrainOfFloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

}  // namespace trainyard::training
