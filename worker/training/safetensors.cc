// See safetensors.h.
#include "worker/training/safetensors.h"

#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"

namespace trainyard::training {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kHeaderBytesMax = 100'000'000;
constexpr uint64_t kLengthBytes = 8;

struct TypeName {
  DataType type;
  const char* name;
};
constexpr TypeName kTypes[] = {{DataType::kFloat32, "F32"}, {DataType::kFloat64, "F64"},
                               {DataType::kFloat16, "F16"}, {DataType::kBFloat16, "BF16"},
                               {DataType::kInt32, "I32"},   {DataType::kInt64, "I64"}};

absl::Status Wrong(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("not a safetensors file: ", what));
}

const char* NameOfType(DataType type) {
  for (const TypeName& entry : kTypes) {
    if (entry.type == type) return entry.name;
  }
  return "";
}

std::optional<DataType> TypeOfName(const std::string& name) {
  for (const TypeName& entry : kTypes) {
    if (entry.name == name) return entry.type;
  }
  return std::nullopt;
}

uint64_t BytesOf(const TensorView& tensor) {
  uint64_t count = 1;
  for (const int64_t extent : tensor.shape) count *= static_cast<uint64_t>(extent);
  return count * SizeOf(tensor.type);
}

// Bytes that `shape` needs, or nothing when it is no shape or too large for any file.
std::optional<uint64_t> BytesOfShape(const Json& shape, DataType type,
                                     std::vector<int64_t>* extents) {
  uint64_t bytes = SizeOf(type);
  for (const Json& extent : shape) {
    if (!extent.is_number_unsigned()) return std::nullopt;
    const uint64_t value = extent.get<uint64_t>();
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
    if (__builtin_mul_overflow(bytes, value, &bytes)) return std::nullopt;
    extents->push_back(static_cast<int64_t>(value));
  }
  return bytes;
}

absl::StatusOr<Tensor> DecodeTensor(const std::string& name, const Json& entry,
                                    absl::string_view data) {
  const auto field = [&entry](const char* key) {
    const auto found = entry.find(key);
    return found == entry.end() ? Json() : *found;
  };
  if (!entry.is_object()) return Wrong(absl::StrCat("tensor ", name, " is not described"));
  const Json type_name = field("dtype"), shape = field("shape"), offsets = field("data_offsets");
  if (!type_name.is_string() || !shape.is_array() || !offsets.is_array() || offsets.size() != 2 ||
      !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
    return Wrong(absl::StrCat("tensor ", name, " lacks dtype, shape or data_offsets"));
  }
  const auto type = TypeOfName(type_name.get<std::string>());
  if (!type.has_value()) {
    return Wrong(absl::StrCat("tensor ", name, " is of type ", type_name.get<std::string>(),
                              ", which is not read here"));
  }
  Tensor tensor;
  tensor.type = *type;
  const auto bytes = BytesOfShape(shape, *type, &tensor.shape);
  const uint64_t begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>();
  if (!bytes.has_value() || begin > end || end > data.size() || end - begin != *bytes) {
    return Wrong(absl::StrCat("shape and offsets of tensor ", name, " do not fit the file"));
  }
  tensor.bytes = std::string(data.substr(begin, end - begin));
  return tensor;
}

absl::Status DecodeMetadata(const Json& entry, TensorFile* file) {
  if (!entry.is_object()) return Wrong("__metadata__ is no map");
  for (const auto& [key, value] : entry.items()) {
    if (!value.is_string()) return Wrong(absl::StrCat("metadata ", key, " is no text"));
    file->metadata[key] = value.get<std::string>();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<float>> TensorFile::Floats(const std::string& name, size_t count) const {
  const auto found = tensors.find(name);
  if (found == tensors.end()) return absl::NotFoundError(absl::StrCat("no tensor ", name));
  const Tensor& tensor = found->second;
  if (tensor.type != DataType::kFloat32 || tensor.bytes.size() != count * sizeof(float)) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", name, " holds ", tensor.bytes.size() / SizeOf(tensor.type), " ",
                     NameOf(tensor.type), ", expected ", count, " float32"));
  }
  std::vector<float> values(count);
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

std::string EncodeSafetensors(const std::vector<TensorView>& tensors,
                              const std::map<std::string, std::string>& metadata) {
  std::string bytes;
  EncodeSafetensors(tensors, metadata, &bytes);
  return bytes;
}

void EncodeSafetensors(const std::vector<TensorView>& tensors,
                       const std::map<std::string, std::string>& metadata, std::string* bytes) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const TensorView& tensor : tensors) {
    const uint64_t end = offset + BytesOf(tensor);
    header[tensor.name] = {{"dtype", NameOfType(tensor.type)},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');  // tensors start 8-byte aligned
  bytes->clear();
  bytes->reserve(kLengthBytes + text.size() + offset);
  for (uint64_t i = 0; i < kLengthBytes; ++i) {
    bytes->push_back(static_cast<char>(static_cast<uint64_t>(text.size()) >> (8 * i)));
  }
  bytes->append(text);
  for (const TensorView& tensor : tensors) {
    bytes->append(static_cast<const char*>(tensor.data), BytesOf(tensor));
  }
}

absl::StatusOr<TensorFile> DecodeSafetensors(absl::string_view bytes) {
  if (bytes.size() < kLengthBytes) return Wrong("shorter than its length field");
  uint64_t length = 0;
  for (uint64_t i = 0; i < kLengthBytes; ++i) {
    length |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  if (length > kHeaderBytesMax || length > bytes.size() - kLengthBytes) {
    return Wrong(absl::StrCat("a header of ", length, " bytes does not fit"));
  }
  const absl::string_view text = bytes.substr(kLengthBytes, length);
  const Json header = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) return Wrong("the header is no JSON object");
  TensorFile file;
  uint64_t described = 0;
  const absl::string_view data = bytes.substr(kLengthBytes + length);
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (absl::Status status = DecodeMetadata(entry, &file); !status.ok()) return status;
      continue;
    }
    auto tensor = DecodeTensor(name, entry, data);
    if (!tensor.ok()) return tensor.status();
    described += tensor->bytes.size();
    if (described > data.size()) return Wrong("tensors overlap");
    file.tensors[name] = *std::move(tensor);
  }
  if (described != data.size()) {
    return Wrong(absl::StrCat(data.size(), " bytes of data, ", described, " described"));
  }
  return file;
}

}  // namespace trainyard::training
