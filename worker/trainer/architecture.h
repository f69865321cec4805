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
  std::string kind;      // logistic, mlp, cnn, resnet, transformer
  int64_t features = 0;  // of the transformer: tokens of a sample, one more than it reads
  int64_t classes = 0;   // of the transformer: its vocabulary
  std::vector<int64_t> hidden = {};  // widths; of the CNN: after its convolutions
  // Of the CNN's first layer, the second has twice as many; of the residual network's first stage;
  // the transformer's width.
  int64_t channels = 0;
  int64_t blocks = 0;  // of each stage of the residual network; of the transformer
  int64_t heads = 0;   // of the transformer

  // One line that is equal for equal architectures.
  std::string Text() const;
  bool image() const { return kind == "cnn" || kind == "resnet"; }
  bool text() const { return kind == "transformer"; }
  // Classes that are guessed for one sample: the transformer guesses the token behind each.
  int64_t guesses() const { return text() ? features - 1 : 1; }
};

struct Parameter {
  std::string name;
  std::vector<int64_t> shape;
  double bound = 0;   // its first values are uniform in +-bound around
  double centre = 0;  // this
  size_t offset = 0;  // in the flat array
  size_t size = 0;
};

// In the order of use. INVALID_ARGUMENT-free: CheckArchitecture() comes first.
std::vector<Parameter> ParametersOf(const Architecture& architecture);
size_t ParameterCount(const Architecture& architecture);

// INVALID_ARGUMENT when an image model's features are no square image of at least 4x4, with 1 or 3
// channels, or the transformer's heads do not share its width evenly.
absl::Status CheckArchitecture(const Architecture& architecture);
// Of the square image; three channels lie one after the other.
int64_t ImageSide(const Architecture& architecture);
int64_t ImageChannels(const Architecture& architecture);
// Stages of the residual network: each halves the image and doubles the channels, but the first.
inline constexpr int64_t kStages = 3;
// Groups over which `channels` are normalised together: results do not depend on the batch, so not
// on how it is shared out over ranks.
int64_t NormGroups(int64_t channels);

// For weights before a rectifier +-sqrt(6 / inputs) (He et al. 2015), for the last layer +-sqrt(1 /
// inputs), 0 for biases, 1 for the scales of normalisations; the transformer's as in Radford et al.
// 2019. A function of its arguments alone.
std::vector<float> FirstParameters(const Architecture& architecture, uint64_t seed);

}  // namespace trainyard::trainer

#endif  // TRAINYARD_WORKER_TRAINER_ARCHITECTURE_H_
