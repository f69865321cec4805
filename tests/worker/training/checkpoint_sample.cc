// Writes two checkpoints below a folder, for readers in other languages: steps 3 and 7, of float32,
// int64 and bfloat16 tensors.
//   training_checkpoint_sample FOLDER
#include <cstdint>
#include <cstdio>
#include <vector>

#include "worker/training/checkpoint.h"
#include "worker/training/reduce.h"

using trainyard::training::DataType;

int main(int count, char** arguments) {
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
