// libFuzzer on the readers of checkpoints: any bytes have an answer, and tensors that are read fit
// the bytes they came from. Build and run:
//   cmake -S . -B build/fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_C_COMPILER=clang
//     -DTRAINYARD_FUZZ=ON -DTRAINYARD_TRAINER=OFF
//     -DTRAINYARD_SANITIZE=fuzzer-no-link,address,undefined
//   ninja -C build/fuzz safetensors_fuzz
//   build/fuzz/tests/safetensors_fuzz -max_len=4096 CORPUS
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "worker/training/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace training = trainyard::training;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto file = training::DecodeSafetensors(bytes);
  if (!file.ok()) {
    if (file.status().message().empty()) abort();
    return 0;
  }
  std::vector<training::TensorView> views;
  size_t total = 0;
  for (const auto& [name, tensor] : file->tensors) {
    total += tensor.bytes.size();
    views.push_back({name, tensor.type, tensor.shape, tensor.bytes.data()});
  }
  if (total > size) abort();
  const auto again = training::DecodeSafetensors(*EncodeSafetensors(views, file->metadata));
  if (!again.ok() || again->tensors.size() != file->tensors.size()) abort();
  return 0;
}
