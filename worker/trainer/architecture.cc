// See architecture.h.
#include "worker/trainer/architecture.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "common/random.h"

namespace trainyard::trainer {
namespace {

constexpr int64_t kKernel = 3;
constexpr double kRectified = 6, kLast = 1;  // bound squared, times inputs

class Parameters {
 public:
  void Add(std::string name, std::vector<int64_t> shape, double bound, double centre = 0) {
    Parameter parameter;
    parameter.name = std::move(name);
    parameter.bound = bound;
    parameter.centre = centre;
    parameter.size = 1;
    for (const int64_t extent : shape) parameter.size *= static_cast<size_t>(extent);
    parameter.shape = std::move(shape);
    if (!all_.empty()) parameter.offset = all_.back().offset + all_.back().size;
    all_.push_back(std::move(parameter));
  }
  void AddConvolution(const std::string& name, int64_t in, int64_t out, int64_t kernel = kKernel) {
    const double inputs = static_cast<double>(in * kernel * kernel);
    Add(name + ".weight", {out, in, kernel, kernel}, std::sqrt(kRectified / inputs));
    Add(name + ".bias", {out}, 0);
  }
  void AddLinear(const std::string& name, int64_t in, int64_t out, double gain = kRectified) {
    Add(name + ".weight", {out, in}, std::sqrt(gain / static_cast<double>(in)));
    Add(name + ".bias", {out}, 0);
  }
  void AddNorm(const std::string& name, int64_t width, double scale = 1) {
    Add(name + ".weight", {width}, 0, scale);
    Add(name + ".bias", {width}, 0);
  }
  std::vector<Parameter> Take() { return std::move(all_); }

 private:
  std::vector<Parameter> all_;
};

// He et al. 2016 with normalisation over groups (Wu and He 2018). The second normalisation of a
// block begins at 0, so that each block begins as the identity (Goyal et al. 2017).
void AddResidual(const Architecture& architecture, Parameters* parameters) {
  parameters->AddConvolution("stem", ImageChannels(architecture), architecture.channels);
  parameters->AddNorm("stem.norm", architecture.channels);
  int64_t in = architecture.channels;
  for (int64_t stage = 0; stage < kStages; ++stage) {
    const int64_t out = architecture.channels << stage;
    for (int64_t block = 0; block < architecture.blocks; ++block, in = out) {
      const std::string name = absl::StrCat("stage", stage + 1, ".block", block + 1);
      parameters->AddConvolution(name + ".convolution1", in, out);
      parameters->AddNorm(name + ".norm1", out);
      parameters->AddConvolution(name + ".convolution2", out, out);
      parameters->AddNorm(name + ".norm2", out, 0);
      if (in != out) parameters->AddConvolution(name + ".shortcut", in, out, 1);
    }
  }
  parameters->AddLinear("output", in, architecture.classes, kLast);
}

// A decoder alone, normalised before each part (Radford et al. 2019). Uniform with deviation 0.02;
// what is added to the stream is smaller by the square root of how many add to it.
void AddTransformer(const Architecture& architecture, Parameters* parameters) {
  const int64_t width = architecture.channels;
  const double bound = 0.02 * std::sqrt(3.0);
  const double added = bound / std::sqrt(2.0 * static_cast<double>(architecture.blocks));
  const auto linear = [&](const std::string& name, int64_t in, int64_t out, double first) {
    parameters->Add(name + ".weight", {out, in}, first);
    parameters->Add(name + ".bias", {out}, 0);
  };
  parameters->Add("token.weight", {architecture.classes, width}, bound);
  parameters->Add("position.weight", {architecture.guesses(), width}, bound);
  for (int64_t block = 0; block < architecture.blocks; ++block) {
    const std::string name = absl::StrCat("block", block + 1);
    parameters->AddNorm(name + ".norm1", width);
    linear(name + ".attention", width, 3 * width, bound);
    linear(name + ".projection", width, width, added);
    parameters->AddNorm(name + ".norm2", width);
    linear(name + ".up", width, 4 * width, bound);
    linear(name + ".down", 4 * width, width, added);
  }
  parameters->AddNorm("norm", width);
  linear("output", width, architecture.classes, bound);
}

absl::Status Impossible(const std::string& message, absl::string_view fix) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE", message, fix);
}

}  // namespace

std::string Architecture::Text() const {
  std::string line = absl::StrCat(kind, " features=", features, " classes=", classes,
                                  " hidden=", absl::StrJoin(hidden, ","), " channels=", channels);
  if (blocks > 0) absl::StrAppend(&line, " blocks=", blocks, " heads=", heads);
  return line;
}

int64_t ImageSide(const Architecture& architecture) {
  const double pixels = static_cast<double>(architecture.features / ImageChannels(architecture));
  return std::lround(std::sqrt(pixels));
}

int64_t ImageChannels(const Architecture& architecture) {
  const int64_t side = std::lround(std::sqrt(static_cast<double>(architecture.features)));
  return side * side != architecture.features && architecture.features % 3 == 0 ? 3 : 1;
}

int64_t NormGroups(int64_t channels) {
  for (const int64_t groups : {8, 4, 2}) {
    if (channels % groups == 0) return groups;
  }
  return 1;
}

absl::Status CheckArchitecture(const Architecture& architecture) {
  if (architecture.text()) {
    if (architecture.channels % architecture.heads == 0) return absl::OkStatus();
    return Impossible(absl::StrCat("--heads=", architecture.heads, " do not share a width of ",
                                   architecture.channels, " evenly"),
                      "give a --width that is a multiple of --heads");
  }
  const int64_t side = ImageSide(architecture);
  const bool square = side * side * ImageChannels(architecture) == architecture.features;
  if (!architecture.image() || (square && side >= 4)) return absl::OkStatus();
  return Impossible(absl::StrCat("--model=", architecture.kind, ": ", architecture.features,
                                 " features are no square image of at least 4x4"),
                    "use --model=mlp for other tables");
}

std::vector<Parameter> ParametersOf(const Architecture& architecture) {
  Parameters parameters;
  if (architecture.kind == "resnet") {
    AddResidual(architecture, &parameters);
    return parameters.Take();
  }
  if (architecture.text()) {
    AddTransformer(architecture, &parameters);
    return parameters.Take();
  }
  int64_t width = architecture.features;
  if (architecture.kind == "cnn") {
    const int64_t channels = architecture.channels, side = ImageSide(architecture) / 4;
    parameters.AddConvolution("convolution1", ImageChannels(architecture), channels);
    parameters.AddConvolution("convolution2", channels, 2 * channels);
    width = 2 * channels * side * side;
  }
  if (architecture.kind != "logistic") {
    for (size_t i = 0; i < architecture.hidden.size(); ++i) {
      parameters.AddLinear(absl::StrCat("hidden", i + 1), width, architecture.hidden[i]);
      width = architecture.hidden[i];
    }
  }
  parameters.AddLinear("output", width, architecture.classes, kLast);
  return parameters.Take();
}

size_t ParameterCount(const Architecture& architecture) {
  const std::vector<Parameter> parameters = ParametersOf(architecture);
  return parameters.back().offset + parameters.back().size;
}

std::vector<float> FirstParameters(const Architecture& architecture, uint64_t seed) {
  std::vector<float> values(ParameterCount(architecture), 0.0F);
  Random random(MixSeed(seed, 0x3e16));
  for (const Parameter& parameter : ParametersOf(architecture)) {
    for (size_t i = 0; i < parameter.size; ++i) {
      const double away = parameter.bound == 0 ? 0 : (2 * random.Uniform() - 1) * parameter.bound;
      values[parameter.offset + i] = static_cast<float>(parameter.centre + away);
    }
  }
  return values;
}

}  // namespace trainyard::trainer
