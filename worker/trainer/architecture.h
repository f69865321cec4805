// What a model looks like: kinds, sizes, the names and places of its parameters in one flat float
// array, and their first values. Pure; no ML framework.
#ifndef TRAINYARD_WORKER_TRAINER_ARCHITECTURE_H_
#define TRAINYARD_WORKER_TRAINER_ARCHITECTURE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace trainyard::trainer {

struct Architecture {
  std::string kind;  // logistic, mlp, cnn
  int64_t features = 0;
  int64_t classes = 0;
  std::vector<int64_t> hidden;  // widths; of the CNN: after its convolutions
  int64_t channels = 0;         // of the CNN's first layer, the second has twice as many

  // One line that is equal for equal architectures.
  std::string Text() const;
};

struct Parameter {
  std::string name;
  std::vector<int64_t> shape;
  int64_t fan_in = 1;
  size_t offset = 0;  // in the flat array
  size_t size = 0;
};

// In the order of use. INVALID_ARGUMENT-free: CheckArchitecture() comes first.
std::vector<Parameter> ParametersOf(const Architecture& architecture);
size_t ParameterCount(const Architecture& architecture);

// INVALID_ARGUMENT when the CNN's features are no square image of at least 4x4.
absl::Status CheckArchitecture(const Architecture& architecture);
// Side of the square image.
int64_t ImageSide(const Architecture& architecture);

// Uniform in +-sqrt(6 / fan_in) for weights before a rectifier (He et al. 2015), +-sqrt(1 / fan_in)
// for the last layer, 0 for biases. A function of its arguments alone.
std::vector<float> FirstParameters(const Architecture& architecture, uint64_t seed);

}  // namespace trainyard::trainer

#endif  // TRAINYARD_WORKER_TRAINER_ARCHITECTURE_H_
