// See architecture.h.
#include "worker/trainer/architecture.h"

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "common/random.h"

namespace trainyard::trainer {
namespace {

constexpr int64_t kKernel = 3;

void Add(std::string name, std::vector<int64_t> shape, int64_t fan_in,
         std::vector<Parameter>* parameters) {
  Parameter parameter;
  parameter.name = std::move(name);
  parameter.fan_in = fan_in;
  parameter.size = 1;
  for (const int64_t extent : shape) parameter.size *= static_cast<size_t>(extent);
  parameter.shape = std::move(shape);
  if (!parameters->empty()) parameter.offset = parameters->back().offset + parameters->back().size;
  parameters->push_back(std::move(parameter));
}

void AddConvolution(const std::string& name, int64_t in, int64_t out,
                    std::vector<Parameter>* parameters) {
  const int64_t fan_in = in * kKernel * kKernel;
  Add(name + ".weight", {out, in, kKernel, kKernel}, fan_in, parameters);
  Add(name + ".bias", {out}, fan_in, parameters);
}

void AddLinear(const std::string& name, int64_t in, int64_t out,
               std::vector<Parameter>* parameters) {
  Add(name + ".weight", {out, in}, in, parameters);
  Add(name + ".bias", {out}, in, parameters);
}

}  // namespace

std::string Architecture::Text() const {
  return absl::StrCat(kind, " features=", features, " classes=", classes,
                      " hidden=", absl::StrJoin(hidden, ","), " channels=", channels);
}

int64_t ImageSide(const Architecture& architecture) {
  return std::lround(std::sqrt(static_cast<double>(architecture.features)));
}

absl::Status CheckArchitecture(const Architecture& architecture) {
  const int64_t side = ImageSide(architecture);
  if (architecture.kind != "cnn" || (side * side == architecture.features && side >= 4)) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                   absl::StrCat("--model=cnn: ", architecture.features,
                                " features are no square image of at least 4x4"),
                   "use --model=mlp for other tables");
}

std::vector<Parameter> ParametersOf(const Architecture& architecture) {
  std::vector<Parameter> parameters;
  int64_t width = architecture.features;
  if (architecture.kind == "cnn") {
    const int64_t channels = architecture.channels, side = ImageSide(architecture) / 4;
    AddConvolution("convolution1", 1, channels, &parameters);
    AddConvolution("convolution2", channels, 2 * channels, &parameters);
    width = 2 * channels * side * side;
  }
  if (architecture.kind != "logistic") {
    for (size_t i = 0; i < architecture.hidden.size(); ++i) {
      AddLinear(absl::StrCat("hidden", i + 1), width, architecture.hidden[i], &parameters);
      width = architecture.hidden[i];
    }
  }
  AddLinear("output", width, architecture.classes, &parameters);
  return parameters;
}

size_t ParameterCount(const Architecture& architecture) {
  const std::vector<Parameter> parameters = ParametersOf(architecture);
  return parameters.back().offset + parameters.back().size;
}

std::vector<float> FirstParameters(const Architecture& architecture, uint64_t seed) {
  std::vector<float> values(ParameterCount(architecture), 0.0F);
  Random random(MixSeed(seed, 0x3e16));
  for (const Parameter& parameter : ParametersOf(architecture)) {
    if (absl::EndsWith(parameter.name, ".bias")) continue;
    const double gain = absl::StartsWith(parameter.name, "output") ? 1 : 6;
    const double bound = std::sqrt(gain / static_cast<double>(parameter.fan_in));
    for (size_t i = 0; i < parameter.size; ++i) {
      values[parameter.offset + i] = static_cast<float>((2 * random.Uniform() - 1) * bound);
    }
  }
  return values;
}

}  // namespace trainyard::trainer
