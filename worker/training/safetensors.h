// The safetensors file layout: 8 bytes little-endian header length, a JSON header with names,
// types, shapes and offsets, then the raw bytes. Readable by Python's safetensors package.
// The reader trusts nothing: lengths, offsets and shapes are checked against the file. Pure but for
// the file itself.
#ifndef TRAINYARD_WORKER_TRAINING_SAFETENSORS_H_
#define TRAINYARD_WORKER_TRAINING_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/training/communicator.h"

namespace trainyard::training {

// A tensor in memory that somebody else owns.
struct TensorView {
  std::string name;
  DataType type = DataType::kFloat32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
};

// One read from a file; bytes are in row-major order.
struct Tensor {
  DataType type = DataType::kFloat32;
  std::vector<int64_t> shape;
  std::string bytes;
};

struct TensorFile {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;

  // The floats of `name`. NOT_FOUND, or INVALID_ARGUMENT when it is not float32 of `count`.
  absl::StatusOr<std::vector<float>> Floats(const std::string& name, size_t count) const;
  // The same into `to`, which has room for them.
  absl::Status CopyFloats(const std::string& name, size_t count, float* to) const;
};

// Into `bytes`, whose memory is used again. INVALID_ARGUMENT for what no reader would take: two
// tensors of one name, a name that is not UTF-8 or "__metadata__", a shape below 0 or too large.
absl::Status EncodeSafetensors(const std::vector<TensorView>& tensors,
                               const std::map<std::string, std::string>& metadata,
                               std::string* bytes);
absl::StatusOr<std::string> EncodeSafetensors(const std::vector<TensorView>& tensors,
                                              const std::map<std::string, std::string>& metadata);

// INVALID_ARGUMENT that says what is wrong with the bytes. Types outside DataType are refused.
absl::StatusOr<TensorFile> DecodeSafetensors(absl::string_view bytes);
// The same of a file, read once and held once; `sha256` (32 raw bytes) is that of the whole file.
// INVALID_ARGUMENT likewise, or the error of reading.
absl::StatusOr<TensorFile> ReadSafetensors(const std::string& path, std::string* sha256);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_SAFETENSORS_H_
