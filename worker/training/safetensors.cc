// See safetensors.h.
#include "worker/training/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/sha256.h"
#include "common/utf8.h"

namespace trainyard::training {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kHeaderBytesMax = 100'000'000;
constexpr uint64_t kLengthBytes = 8;
constexpr char kMetadata[] = "__metadata__";

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

absl::Status Unwritable(const TensorView& tensor, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("tensor ", PrintableText(tensor.name), " cannot be written: ", why));
}

absl::StatusOr<uint64_t> BytesOf(const TensorView& tensor) {
  uint64_t bytes = SizeOf(tensor.type);
  for (const int64_t extent : tensor.shape) {
    if (extent < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(extent), &bytes)) {
      return Unwritable(tensor, "its shape is below 0 or too large");
    }
  }
  return bytes;
}

// A header names each tensor once. Bytes that are no UTF-8 would be replaced there, and could make
// two names one.
absl::Status CheckNames(const std::vector<TensorView>& tensors) {
  std::set<absl::string_view> names;
  for (const TensorView& tensor : tensors) {
    if (tensor.name == kMetadata) return Unwritable(tensor, "the name means the metadata");
    if (!IsUtf8(tensor.name)) return Unwritable(tensor, "the name is not UTF-8");
    if (!names.insert(tensor.name).second) return Unwritable(tensor, "the name is there twice");
  }
  return absl::OkStatus();
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

// A tensor as the header has it, and where its bytes are in the data behind the header.
struct Entry {
  std::string name;
  Tensor tensor;  // without its bytes
  uint64_t begin = 0, end = 0;
};

absl::StatusOr<Entry> DecodeEntry(const std::string& name, const Json& entry, uint64_t data_bytes) {
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
  Entry found;
  found.name = name;
  found.tensor.type = *type;
  found.begin = offsets[0].get<uint64_t>();
  found.end = offsets[1].get<uint64_t>();
  const auto bytes = BytesOfShape(shape, *type, &found.tensor.shape);
  if (!bytes.has_value() || found.begin > found.end || found.end > data_bytes ||
      found.end - found.begin != *bytes) {
    return Wrong(absl::StrCat("shape and offsets of tensor ", name, " do not fit the file"));
  }
  return found;
}

absl::Status DecodeMetadata(const Json& entry, TensorFile* file) {
  if (!entry.is_object()) return Wrong("__metadata__ is no map");
  for (const auto& [key, value] : entry.items()) {
    if (!value.is_string()) return Wrong(absl::StrCat("metadata ", key, " is no text"));
    file->metadata[key] = value.get<std::string>();
  }
  return absl::OkStatus();
}

// Length of the header of a file of `file_bytes`, from its first 8 bytes.
absl::StatusOr<uint64_t> HeaderBytes(absl::string_view start, uint64_t file_bytes) {
  if (start.size() < kLengthBytes) return Wrong("shorter than its length field");
  uint64_t length = 0;
  for (uint64_t i = 0; i < kLengthBytes; ++i) {
    length |= static_cast<uint64_t>(static_cast<unsigned char>(start[i])) << (8 * i);
  }
  if (length > kHeaderBytesMax || length > file_bytes - kLengthBytes) {
    return Wrong(absl::StrCat("a header of ", length, " bytes does not fit"));
  }
  return length;
}

// The tensors in the order of their bytes, which follow each other without holes.
absl::StatusOr<std::vector<Entry>> DecodeHeader(absl::string_view text, uint64_t data_bytes,
                                                TensorFile* file) {
  const Json header = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) return Wrong("the header is no JSON object");
  std::vector<Entry> entries;
  for (const auto& [name, entry] : header.items()) {
    if (name == kMetadata) {
      if (absl::Status status = DecodeMetadata(entry, file); !status.ok()) return status;
      continue;
    }
    auto found = DecodeEntry(name, entry, data_bytes);
    if (!found.ok()) return found.status();
    entries.push_back(*std::move(found));
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t described = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != described) return Wrong("tensors overlap or leave a hole");
    described = entry.end;
  }
  if (described == data_bytes) return entries;
  return Wrong(absl::StrCat(data_bytes, " bytes of data, ", described, " described"));
}

// The bytes of a file one after the other, and their digest.
class HashingReader {
 public:
  HashingReader(const std::string& path, int fd) : path_(path), fd_(fd) {}

  // The next `count` bytes behind what `to` holds. DATA_LOSS when the file ends before.
  absl::Status Append(uint64_t count, std::string* to) {
    to->reserve(to->size() + count);
    while (count > 0) {
      const ssize_t got = read(fd_, buffer_.data(), std::min<uint64_t>(count, buffer_.size()));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ErrnoError(errno, "cannot read", path_);
      if (got == 0) return absl::DataLossError(absl::StrCat(path_, " became shorter"));
      // From the buffer, which is in the cache: the memory is touched once.
      hash_.Update({buffer_.data(), static_cast<size_t>(got)});
      to->append(buffer_.data(), static_cast<size_t>(got));
      count -= static_cast<uint64_t>(got);
    }
    return absl::OkStatus();
  }
  std::string Digest() { return hash_.Finish(); }

 private:
  const std::string path_;
  const int fd_;
  std::vector<char> buffer_ = std::vector<char>(256 << 10);
  Sha256 hash_;
};

}  // namespace

absl::StatusOr<std::vector<float>> TensorFile::Floats(const std::string& name, size_t count) const {
  std::vector<float> values(count);
  if (absl::Status status = CopyFloats(name, count, values.data()); !status.ok()) return status;
  return values;
}

absl::Status TensorFile::CopyFloats(const std::string& name, size_t count, float* to) const {
  const auto found = tensors.find(name);
  if (found == tensors.end()) return absl::NotFoundError(absl::StrCat("no tensor ", name));
  const Tensor& tensor = found->second;
  if (tensor.type != DataType::kFloat32 || tensor.bytes.size() != count * sizeof(float)) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", name, " holds ", tensor.bytes.size() / SizeOf(tensor.type), " ",
                     NameOf(tensor.type), ", expected ", count, " float32"));
  }
  if (count > 0) std::memcpy(to, tensor.bytes.data(), tensor.bytes.size());
  return absl::OkStatus();
}

absl::StatusOr<std::string> EncodeSafetensors(const std::vector<TensorView>& tensors,
                                              const std::map<std::string, std::string>& metadata) {
  std::string bytes;
  absl::Status status = EncodeSafetensors(tensors, metadata, &bytes);
  if (!status.ok()) return status;
  return bytes;
}

absl::Status EncodeSafetensors(const std::vector<TensorView>& tensors,
                               const std::map<std::string, std::string>& metadata,
                               std::string* bytes) {
  if (absl::Status status = CheckNames(tensors); !status.ok()) return status;
  Json header = Json::object();
  if (!metadata.empty()) header[kMetadata] = metadata;
  uint64_t offset = 0;
  for (const TensorView& tensor : tensors) {
    const auto size = BytesOf(tensor);
    if (!size.ok()) return size.status();
    const uint64_t end = offset + *size;
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
    bytes->append(static_cast<const char*>(tensor.data), *BytesOf(tensor));
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorFile> DecodeSafetensors(absl::string_view bytes) {
  const auto length = HeaderBytes(bytes, bytes.size());
  if (!length.ok()) return length.status();
  TensorFile file;
  const absl::string_view data = bytes.substr(kLengthBytes + *length);
  auto entries = DecodeHeader(bytes.substr(kLengthBytes, *length), data.size(), &file);
  if (!entries.ok()) return entries.status();
  for (Entry& entry : *entries) {
    entry.tensor.bytes = std::string(data.substr(entry.begin, entry.end - entry.begin));
    file.tensors[entry.name] = std::move(entry.tensor);
  }
  return file;
}

absl::StatusOr<TensorFile> ReadSafetensors(const std::string& path, std::string* sha256) {
  const FileDescriptor descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!descriptor.valid() || fstat(descriptor.get(), &info) != 0) {
    return ErrnoError(errno, "cannot open", path);
  }
  const uint64_t size = static_cast<uint64_t>(info.st_size);
  HashingReader reader(path, descriptor.get());
  std::string start, text;
  absl::Status status = reader.Append(std::min(size, kLengthBytes), &start);
  if (!status.ok()) return status;
  const auto length = HeaderBytes(start, size);
  if (!length.ok()) return length.status();
  if (status = reader.Append(*length, &text); !status.ok()) return status;
  TensorFile file;
  auto entries = DecodeHeader(text, size - kLengthBytes - *length, &file);
  if (!entries.ok()) return entries.status();
  for (Entry& entry : *entries) {
    status = reader.Append(entry.end - entry.begin, &entry.tensor.bytes);
    if (!status.ok()) return status;
    file.tensors[entry.name] = std::move(entry.tensor);
  }
  *sha256 = reader.Digest();
  return file;
}

}  // namespace trainyard::training
