// Writes two checkpoints below a folder, for readers in other languages: steps 3 and 7, of float32,
// int64 and bfloat16 tensors. Or reads what another language wrote, and says what it found.
//   training_checkpoint_sample FOLDER
//   training_checkpoint_sample FOLDER read
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "worker/training/checkpoint.h"
#include "worker/training/reduce.h"

using trainyard::training::DataType;

namespace {

// One line for the checkpoint, one for each tensor of each shard: name, type, shape, bytes' sum.
int Read(const std::string& folder) {
  auto found = trainyard::training::ReadNewestCheckpoint(folder);
  if (!found.ok()) {
    std::fprintf(stderr, "%s\n", std::string(found.status().message()).c_str());
    return 1;
  }
  std::printf("step %d of %d", static_cast<int>(found->step), found->world_size);
  for (const auto& [key, text] : found->state) std::printf(" %s=%s", key.c_str(), text.c_str());
  for (const auto& shard : found->shards) {
    std::printf("\nshard");
    for (const auto& [name, tensor] : shard.tensors) {
      unsigned sum = 0;
      for (const char byte : tensor.bytes) sum += static_cast<unsigned char>(byte);
      std::printf(" %s:%s", name.c_str(), trainyard::training::NameOf(tensor.type));
      for (const int64_t extent : tensor.shape) std::printf(",%d", static_cast<int>(extent));
      std::printf("=%u", sum);
    }
  }
  std::printf("\n");
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 3 && std::string(arguments[2]) == "read") return Read(arguments[1]);
  if (count != 2) return 2;
  for (const int64_t step : {3, 7}) {
    const std::vector<float> floats = {0.5F, -1.0F, static_cast<float>(step), 4.0F, 5.0F, 6.0F};
    const std::vector<int64_t> numbers = {step, int64_t{1} << 40};
    const uint16_t brain = trainyard::training::BrainOfFloat(2.0F);
    const absl::Status status = trainyard::training::WriteCheckpoint(
        arguments[1], step, 2,
        {{"weights", DataType::kFloat32, {2, 3}, floats.data()},
         {"numbers", DataType::kInt64, {2}, numbers.data()},
         {"brain", DataType::kBFloat16, {1}, &brain}},
        {{"epoch", "4"}, {"note", "quotes \" and \xc3\xa9 and \x01"}});
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
      return 1;
    }
  }
  return 0;
}
