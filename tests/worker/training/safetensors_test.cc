// The safetensors layout, byte by byte, and a reader that survives any bytes.
#include "worker/training/safetensors.h"

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/random.h"
#include "common/sha256.h"
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
  return *EncodeSafetensors(
      {{"a", DataType::kFloat32, {2, 3}, kFloats}, {"b", DataType::kInt64, {2}, kIntegers}},
      {{"who", "test"}});
}

TEST(SafetensorsTest, WritesTheDocumentedLayout) {
  static const float kFloats[] = {1};
  const std::string bytes = *EncodeSafetensors({{"x", DataType::kFloat32, {1}, kFloats}}, {});
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

// Written all the same, they would be a file that nobody can read again.
TEST(SafetensorsTest, RefusesToWriteWhatNoReaderTakes) {
  static const float kFloats[] = {1, 2};
  const auto encode = [](const std::vector<TensorView>& tensors) {
    std::string bytes = "before";
    absl::Status status = EncodeSafetensors(tensors, {}, &bytes);
    EXPECT_EQ(status.ok(), DecodeSafetensors(bytes).ok());
    return status;
  };
  const auto one = [](const std::string& name, const std::vector<int64_t>& shape) {
    return TensorView{name, DataType::kFloat32, shape, kFloats};
  };
  EXPECT_TRUE(encode({one("a", {2}), one("b", {2}), one("", {1}), one("\xc3\xa9", {})}).ok());
  const std::pair<std::vector<TensorView>, const char*> rows[] = {
      {{one("a", {2}), one("b", {2}), one("a", {1})}, "tensor a cannot be written: the name is"},
      {{one("__metadata__", {2})}, "means the metadata"},
      {{one("\xff", {2}), one("\xfe", {2})}, "is not UTF-8"},
      {{one("a", {-1, -2})}, "its shape is below 0"},
      {{one("a", {int64_t{1} << 40, int64_t{1} << 40})}, "too large"}};
  for (const auto& [tensors, said] : rows) {
    const absl::Status status = encode(tensors);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << said;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(said));
  }
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
      File(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
           R"("y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
           "12345678"),
      File(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", "12345678"),
  };
  const std::string path = absl::StrCat(testing::TempDir(), "/refused.safetensors");
  for (const std::string& bytes : rows) {
    const auto file = DecodeSafetensors(bytes);
    ASSERT_FALSE(file.ok()) << bytes;
    EXPECT_THAT(std::string(file.status().message()), testing::HasSubstr("safetensors"));
    ASSERT_TRUE(WriteFileAtomically(path, bytes).ok());
    std::string sha256;
    EXPECT_EQ(ReadSafetensors(path, &sha256).status(), file.status());
  }
}

TEST(SafetensorsTest, AFileIsReadAndHashedInOnePass) {
  // Larger than what is read at a time, and in another order than that of the names.
  const std::vector<float> values(200'001, 0.5F);
  const std::string bytes = *EncodeSafetensors({{"z", DataType::kFloat32, {200'001}, values.data()},
                                                {"none", DataType::kInt64, {0}, nullptr},
                                                {"a", DataType::kFloat64, {7}, values.data()}},
                                               {{"who", "test"}});
  const std::string path = absl::StrCat(testing::TempDir(), "/read.safetensors");
  ASSERT_TRUE(WriteFileAtomically(path, bytes).ok());
  std::string sha256;
  const auto file = ReadSafetensors(path, &sha256);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(sha256, Sha256Of(bytes));
  EXPECT_EQ(*file->Floats("z", values.size()), values);
  EXPECT_EQ(file->tensors.at("a").bytes,
            std::string(reinterpret_cast<const char*>(values.data()), 56));
  EXPECT_EQ(file->tensors.size(), 3u);
  EXPECT_EQ(file->metadata.at("who"), "test");
  EXPECT_FALSE(ReadSafetensors(path + ".absent", &sha256).ok());
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

// Seeded damage of every kind to good files: an answer always, and no memory touched that is not
// theirs (under the sanitizers). tests/fuzz goes on without a seed.
TEST(SafetensorsTest, AnyDamageHasAnAnswer) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const std::string good = *EncodeSafetensors({{"a", DataType::kFloat32, {2, 3}, values.data()},
                                               {"b", DataType::kInt64, {3}, values.data()}},
                                              {{"format", "x"}});
  const std::string words[] = {"-1", "18446744073709551616", "[", "null", "\"F32\"", "{}", "1e9"};
  Random random(11);
  int readable = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = good;
    for (uint64_t n = 1 + random.Below(3); n > 0 && !bytes.empty(); --n) {
      const size_t at = random.Below(bytes.size());
      switch (random.Below(4)) {
        case 0:
          bytes[at] = static_cast<char>(random.Below(256));
          break;
        case 1:
          bytes.erase(at, 1 + random.Below(9));
          break;
        case 2:
          bytes.insert(at, words[random.Below(std::size(words))]);
          break;
        case 3:
          bytes.resize(at + 1);
          break;
      }
    }
    const auto file = DecodeSafetensors(bytes);
    if (!file.ok()) {
      EXPECT_FALSE(file.status().message().empty());
      continue;
    }
    ++readable;
    size_t total = 0;
    for (const auto& [name, tensor] : file->tensors) total += tensor.bytes.size();
    EXPECT_LE(total, bytes.size());
  }
  EXPECT_GT(readable, 0);  // damage to names and values leaves a file
}

}  // namespace
}  // namespace trainyard::training
