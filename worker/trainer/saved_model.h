// A trained model on disk: model.safetensors (parameters by name, normalisation) and model.json
// (architecture, classes, how the data was split, what it reached). Evaluating it again over the
// same data gives the same accuracy, bit for bit. Thread-compatible.
#ifndef TRAINYARD_WORKER_TRAINER_SAVED_MODEL_H_
#define TRAINYARD_WORKER_TRAINER_SAVED_MODEL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/trainer/architecture.h"
#include "worker/trainer/dataset.h"

namespace trainyard::trainer {

struct SavedModel {
  Architecture architecture;
  std::vector<float> parameters;
  Normalisation normalisation;
  std::vector<std::string> classes;
  std::string label_column = "last";
  int64_t split_seed = 0;
  double validation_fraction = 0;
  double test_fraction = 0;
  int64_t epoch = 0;  // after which it was the best
  double validation_accuracy = 0;
  double validation_loss = 0;
};

// Durable when OK; makes the folder.
absl::Status WriteModel(const std::string& folder, const SavedModel& model);
// NOT_FOUND without model.json, INVALID_ARGUMENT that says what is wrong in it.
absl::StatusOr<SavedModel> ReadModel(const std::string& folder);

}  // namespace trainyard::trainer

#endif  // TRAINYARD_WORKER_TRAINER_SAVED_MODEL_H_
