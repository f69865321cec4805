// Arithmetic of reductions: every type and operator against float64, 16-bit floats exhaustively.
#include "worker/training/reduce.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "common/random.h"
#include "gtest/gtest.h"

namespace trainyard::training {
namespace {

TEST(ReduceTest, EveryHalfSurvivesTheWayThroughFloat) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const float value = FloatOfHalf(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(FloatOfHalf(HalfOfFloat(value)))) << bits;
    } else {
      EXPECT_EQ(HalfOfFloat(value), half) << bits;
    }
  }
}

TEST(ReduceTest, EveryBrainFloatSurvivesTheWayThroughFloat) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t brain = static_cast<uint16_t>(bits);
    const float value = FloatOfBrain(brain);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(FloatOfBrain(BrainOfFloat(value)))) << bits;
    } else {
      EXPECT_EQ(BrainOfFloat(value), brain) << bits;
    }
  }
}

// The nearest half by search in float64, ties to the even one.
TEST(ReduceTest, HalvesRoundToNearestEven) {
  Random random(5);
  for (int i = 0; i < 20000; ++i) {
    const double exponent = random.Uniform() * 45 - 28;
    const float value = static_cast<float>((random.Uniform() - 0.5) * std::exp2(exponent));
    const uint16_t half = HalfOfFloat(value);
    const double error = std::abs(static_cast<double>(FloatOfHalf(half)) - value);
    for (const int step : {-1, 1}) {
      const uint16_t other = static_cast<uint16_t>(half + step);
      const double distance = std::abs(static_cast<double>(FloatOfHalf(other)) - value);
      if (std::isnan(distance)) continue;
      EXPECT_LE(error, distance) << value;
      if (error == distance) {
        EXPECT_EQ(half % 2, 0) << value;
      }
    }
  }
  EXPECT_EQ(HalfOfFloat(1e9F), 0x7c00);
  EXPECT_EQ(HalfOfFloat(65519.0F), 0x7bff);
  EXPECT_EQ(HalfOfFloat(65520.0F), 0x7c00);
  EXPECT_EQ(BrainOfFloat(1.00390625F), 0x3f80) << "a tie goes to the even";
  EXPECT_EQ(BrainOfFloat(1.01171875F), 0x3f82) << "a tie goes to the even";
}

template <typename T>
std::vector<T> Apply(std::vector<T> a, const std::vector<T>& b, DataType type, ReduceOp op) {
  Accumulate(a.data(), b.data(), a.size(), type, op);
  Finish(a.data(), a.size(), type, op, 2);
  return a;
}

TEST(ReduceTest, OperatorsOnFloats) {
  const std::vector<float> a = {1, -2, 3.5, 0}, b = {2, 5, -1.5, 0};
  EXPECT_EQ(Apply(a, b, DataType::kFloat32, ReduceOp::kSum), (std::vector<float>{3, 3, 2, 0}));
  EXPECT_EQ(Apply(a, b, DataType::kFloat32, ReduceOp::kMean), (std::vector<float>{1.5, 1.5, 1, 0}));
  EXPECT_EQ(Apply(a, b, DataType::kFloat32, ReduceOp::kMin), (std::vector<float>{1, -2, -1.5, 0}));
  EXPECT_EQ(Apply(a, b, DataType::kFloat32, ReduceOp::kMax), (std::vector<float>{2, 5, 3.5, 0}));
}

TEST(ReduceTest, OperatorsOnIntegers) {
  const std::vector<int64_t> a = {1, -3, std::numeric_limits<int64_t>::max()}, b = {2, -4, 1};
  EXPECT_EQ(Apply(a, b, DataType::kInt64, ReduceOp::kSum),
            (std::vector<int64_t>{3, -7, std::numeric_limits<int64_t>::min()}))
      << "sums wrap";
  EXPECT_EQ(Apply<int32_t>({1, -3}, {2, -4}, DataType::kInt32, ReduceOp::kMean),
            (std::vector<int32_t>{1, -3}))
      << "means truncate toward zero";
  EXPECT_EQ(Apply<int32_t>({1, -3}, {2, -4}, DataType::kInt32, ReduceOp::kMax),
            (std::vector<int32_t>{2, -3}));
}

TEST(ReduceTest, SixteenBitSumsAreRoundedOnce) {
  Random random(9);
  for (int i = 0; i < 1000; ++i) {
    const uint16_t a = HalfOfFloat(static_cast<float>(random.Normal()));
    const uint16_t b = HalfOfFloat(static_cast<float>(random.Normal()));
    const std::vector<uint16_t> sum = Apply<uint16_t>({a}, {b}, DataType::kFloat16, ReduceOp::kSum);
    EXPECT_EQ(sum[0], HalfOfFloat(FloatOfHalf(a) + FloatOfHalf(b)));
  }
}

// Whole arrays take vector instructions where there are some: the same numbers as one by one.
TEST(ReduceTest, NarrowingArraysIsNarrowingElements) {
  std::vector<float> values(1003);
  Random random(3);
  for (float& value : values) value = static_cast<float>(random.Normal() * 1e4);
  values[5] = std::numeric_limits<float>::infinity();
  values[6] = 1e-7F;
  values[7] = -0.0F;
  values[8] = 70000;
  for (const DataType type : {DataType::kFloat16, DataType::kBFloat16}) {
    std::vector<uint16_t> narrow(values.size());
    std::vector<float> wide(values.size());
    Narrow(values.data(), narrow.data(), values.size(), type);
    Widen(narrow.data(), wide.data(), values.size(), type);
    for (size_t i = 0; i < values.size(); ++i) {
      const bool half = type == DataType::kFloat16;
      EXPECT_EQ(narrow[i], half ? HalfOfFloat(values[i]) : BrainOfFloat(values[i])) << values[i];
      EXPECT_EQ(wide[i], half ? FloatOfHalf(narrow[i]) : FloatOfBrain(narrow[i])) << values[i];
    }
  }
}

}  // namespace
}  // namespace trainyard::training
