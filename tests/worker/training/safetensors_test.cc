// The safetensors layout, byte by byte, and a reader that survives any bytes.
#include "worker/training/safetensors.h"

#include <cstring>
#include <string>
#include <vector>

#include "common/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::training {
namespace {

std::string File(const std::string& header, const std::string& data) {
  std::string bytes(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

std::string TwoTensors() {
  static const float kFloats[] = {1, 2, 3, 4, 5, 6};
  static const int64_t kIntegers[] = {7, -8};
  return EncodeSafetensors(
      {{"a", DataType::kFloat32, {2, 3}, kFloats}, {"b", DataType::kInt64, {2}, kIntegers}},
      {{"who", "test"}});
}

TEST(SafetensorsTest, WritesTheDocumentedLayout) {
  static const float kFloats[] = {1};
  const std::string bytes = EncodeSafetensors({{"x", DataType::kFloat32, {1}, kFloats}}, {});
  const std::string header = R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(bytes, File(padded, std::string("\0\0\x80\x3f", 4)));
}

TEST(SafetensorsTest, ReadsWhatItWrote) {
  const auto file = DecodeSafetensors(TwoTensors());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->metadata.at("who"), "test");
  EXPECT_EQ(file->tensors.at("a").shape, (std::vector<int64_t>{2, 3}));
  const auto floats = file->Floats("a", 6);
  ASSERT_TRUE(floats.ok());
  EXPECT_EQ(*floats, (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_FALSE(file->Floats("a", 5).ok());
  EXPECT_FALSE(file->Floats("b", 2).ok()) << "of another type";
  EXPECT_TRUE(absl::IsNotFound(file->Floats("c", 1).status()));
}

TEST(SafetensorsTest, RefusesWhatDoesNotFit) {
  const std::string rows[] = {
      "",
      "1234567",
      std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8),
      File("[]", ""),
      File("{", ""),
      File(R"({"x":3})", ""),
      File(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})", "12345678"),
      File(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "1234"),
      File(R"({"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "1234"),
      File(R"({"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", ""),
      File(R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "1234"),
      File(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "12345678"),
      File(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "1234"),
      File(R"({"__metadata__":{"a":1}})", ""),
  };
  for (const std::string& bytes : rows) {
    const auto file = DecodeSafetensors(bytes);
    ASSERT_FALSE(file.ok()) << bytes;
    EXPECT_THAT(std::string(file.status().message()), testing::HasSubstr("safetensors"));
  }
}

TEST(SafetensorsTest, SurvivesDamage) {
  const std::string good = TwoTensors();
  Random random(11);
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = good;
    for (uint64_t i = 0; i <= random.Below(4); ++i) {
      bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
    }
    if (random.Below(4) == 0) bytes.resize(random.Below(bytes.size()));
    const auto file = DecodeSafetensors(bytes);
    if (!file.ok()) {
      ++refused;
      continue;
    }
    for (const auto& [name, tensor] : file->tensors) {
      uint64_t size = SizeOf(tensor.type);
      for (const int64_t extent : tensor.shape) size *= static_cast<uint64_t>(extent);
      EXPECT_EQ(tensor.bytes.size(), size) << name;
    }
  }
  EXPECT_GT(refused, 1000) << "the header is half of the file";
}

}  // namespace
}  // namespace trainyard::training
