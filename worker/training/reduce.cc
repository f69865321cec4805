// See reduce.h.
#include "worker/training/reduce.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#endif

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
#if defined(__x86_64__) && defined(__GNUC__) && !defined(TRAINYARD_SANITIZED) && !defined(__clang__)
#define TRAINYARD_WIDE __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define TRAINYARD_WIDE
#endif

// The loop after it reads and writes places that overlap by the same index alone.
#if defined(__clang__)
#define TRAINYARD_NO_ALIAS
#else
#define TRAINYARD_NO_ALIAS _Pragma("GCC ivdep")
#endif

TRAINYARD_WIDE void AddFloats(float* to, const float* a, const float* b, size_t count) {
  TRAINYARD_NO_ALIAS
  for (size_t i = 0; i < count; ++i) to[i] = a[i] + b[i];
}

TRAINYARD_WIDE void AddFloatsTwice(float* to, float* also, size_t count) {
  TRAINYARD_NO_ALIAS
  for (size_t i = 0; i < count; ++i) to[i] = also[i] = to[i] + also[i];
}

// Halves by the processor's own conversion where it has one (all x86-64 since 2013).
#if defined(__x86_64__) && defined(__GNUC__)
#define TRAINYARD_F16C __attribute__((target("avx,f16c")))
TRAINYARD_F16C void NarrowHalves8(const float* from, uint16_t* to, size_t count) {
  for (size_t i = 0; i < count; i += 8) {
    const __m128i halves =
        _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), halves);
  }
}
TRAINYARD_F16C void WidenHalves8(const uint16_t* from, float* to, size_t count) {
  for (size_t i = 0; i < count; i += 8) {
    _mm256_storeu_ps(to + i,
                     _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
  }
}
bool HasHalves() {
  static const bool has = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) != 0 &&
           (c & bit_F16C) != 0;
  }();
  return has;
}
#else
void NarrowHalves8(const float*, uint16_t*, size_t) {}
void WidenHalves8(const uint16_t*, float*, size_t) {}
bool HasHalves() { return false; }
#endif

void NarrowHalves(const float* from, uint16_t* to, size_t count) {
  const size_t whole = HasHalves() ? count / 8 * 8 : 0;
  NarrowHalves8(from, to, whole);
  for (size_t i = whole; i < count; ++i) to[i] = HalfOfFloat(from[i]);
}

void WidenHalves(const uint16_t* from, float* to, size_t count) {
  const size_t whole = HasHalves() ? count / 8 * 8 : 0;
  WidenHalves8(from, to, whole);
  for (size_t i = whole; i < count; ++i) to[i] = FloatOfHalf(from[i]);
}

void AddHalves(uint16_t* to, const uint16_t* a, const uint16_t* b, size_t count) {
  constexpr size_t kBlock = 512;
  float x[kBlock], y[kBlock];
  for (size_t i = 0; i < count; i += kBlock) {
    const size_t part = std::min(kBlock, count - i);
    WidenHalves(a + i, x, part);
    WidenHalves(b + i, y, part);
    AddFloats(x, x, y, part);
    NarrowHalves(x, to + i, part);
  }
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
      TRAINYARD_NO_ALIAS
      for (size_t i = 0; i < count; ++i) {
        out[i] = Kind::Store(Add(Kind::Load(x[i]), Kind::Load(y[i])));
      }
      return;
    case ReduceOp::kMin:
      TRAINYARD_NO_ALIAS
      for (size_t i = 0; i < count; ++i) {
        const auto u = Kind::Load(x[i]), v = Kind::Load(y[i]);
        out[i] = Kind::Store(v < u ? v : u);
      }
      return;
    case ReduceOp::kMax:
      TRAINYARD_NO_ALIAS
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
      if (op == ReduceOp::kSum || op == ReduceOp::kMean) {
        return AddHalves(static_cast<uint16_t*>(to), static_cast<const uint16_t*>(a),
                         static_cast<const uint16_t*>(b), count);
      }
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

void Narrow(const float* from, void* to, size_t count, DataType type) {
  uint16_t* const out = static_cast<uint16_t*>(to);
  if (type == DataType::kFloat16) return NarrowHalves(from, out, count);
  for (size_t i = 0; i < count; ++i) out[i] = BrainOfFloat(from[i]);
}

void Widen(const void* from, float* to, size_t count, DataType type) {
  const uint16_t* const in = static_cast<const uint16_t*>(from);
  if (type == DataType::kFloat16) return WidenHalves(in, to, count);
  for (size_t i = 0; i < count; ++i) to[i] = FloatOfBrain(in[i]);
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
