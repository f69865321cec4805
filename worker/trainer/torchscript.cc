// See torchscript.h.
#include "worker/trainer/torchscript.h"

#include <torch/script.h>

#include <cstdio>
#include <exception>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/errors.h"
#include "common/file.h"

namespace trainyard::trainer {
namespace {

// Attributes have no points in their names.
std::string AttributeOf(absl::string_view parameter) {
  return absl::StrReplaceAll(parameter, {{".", "_"}});
}

// Lines of forward(), one call a line.
class Source {
 public:
  void Line(absl::string_view text) { absl::StrAppend(&text_, "    ", text, "\n"); }
  static std::string Pair(absl::string_view layer) {
    const std::string name = AttributeOf(layer);
    return absl::StrCat("self.", name, "_weight, self.", name, "_bias");
  }
  void Linear(absl::string_view to, absl::string_view from, absl::string_view layer) {
    Line(absl::StrCat(to, " = torch.linear(", from, ", ", Pair(layer), ")"));
  }
  void Convolution(absl::string_view to, absl::string_view from, absl::string_view layer,
                   int stride = 1, int padding = 1) {
    Line(absl::StrCat(to, " = torch.conv2d(", from, ", ", Pair(layer), ", [", stride, ", ", stride,
                      "], [", padding, ", ", padding, "])"));
  }
  void GroupNorm(absl::string_view to, absl::string_view layer, int64_t channels) {
    Line(absl::StrCat(to, " = torch.group_norm(", to, ", ", NormGroups(channels), ", ", Pair(layer),
                      ")"));
  }
  void LayerNorm(absl::string_view to, absl::string_view layer, int64_t width) {
    Line(absl::StrCat(to, " = torch.layer_norm(x, [", width, "], ", Pair(layer), ")"));
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

void AddResidual(const Architecture& a, Source* source) {
  source->Convolution("x", "x", "stem");
  source->GroupNorm("x", "stem.norm", a.channels);
  source->Line("x = torch.relu(x)");
  for (int64_t stage = 0; stage < kStages; ++stage) {
    const int64_t channels = a.channels << stage;
    for (int64_t block = 0; block < a.blocks; ++block) {
      const std::string name = absl::StrCat("stage", stage + 1, ".block", block + 1);
      const bool widens = stage > 0 && block == 0;
      source->Convolution("y", "x", name + ".convolution1", widens ? 2 : 1);
      source->GroupNorm("y", name + ".norm1", channels);
      source->Line("y = torch.relu(y)");
      source->Convolution("y", "y", name + ".convolution2");
      source->GroupNorm("y", name + ".norm2", channels);
      if (widens) source->Convolution("x", "x", name + ".shortcut", 2, 0);
      source->Line("x = torch.relu(y + x)");
    }
  }
  source->Line("x = torch.mean(x, [2, 3])");
}

void AddTransformer(const Architecture& a, Source* source) {
  const std::string each = absl::StrCat(a.channels / a.heads);
  source->Line("rows = x.size(0)");
  source->Line("tokens = x.size(1)");
  source->Line("later = torch.triu(torch.ones([tokens, tokens]), 1) > 0");
  source->Line("x = torch.embedding(self.token_weight, x) + self.position_weight[:tokens]");
  for (int64_t block = 0; block < a.blocks; ++block) {
    const std::string name = absl::StrCat("block", block + 1);
    source->LayerNorm("y", name + ".norm1", a.channels);
    source->Linear("y", "y", name + ".attention");
    source->Line(absl::StrCat("y = y.view([rows, tokens, 3, ", a.heads, ", ", each, "])"));
    source->Line("q = y.select(2, 0).transpose(1, 2)");
    source->Line("k = y.select(2, 1).transpose(1, 2)");
    source->Line("v = y.select(2, 2).transpose(1, 2)");
    source->Line(absl::StrCat("s = torch.matmul(q, k.transpose(-2, -1)) / (", each, ".0 ** 0.5)"));
    source->Line("s = s.masked_fill(later, float(\"-inf\"))");
    source->Line("y = torch.matmul(torch.softmax(s, -1), v)");
    source->Line(absl::StrCat("y = y.transpose(1, 2).reshape([rows, tokens, ", a.channels, "])"));
    source->Linear("y", "y", name + ".projection");
    source->Line("x = x + y");
    source->LayerNorm("y", name + ".norm2", a.channels);
    source->Linear("y", "y", name + ".up");
    source->Line("y = torch.gelu(y)");
    source->Linear("y", "y", name + ".down");
    source->Line("x = x + y");
  }
  source->LayerNorm("x", "norm", a.channels);
}

torch::Tensor Copy(const std::vector<float>& values, size_t offset,
                   const std::vector<int64_t>& shape) {
  return torch::from_blob(const_cast<float*>(values.data() + offset), shape).clone();
}

std::string Compile(const SavedModel& model) {
  torch::jit::Module module("TrainyardModel");
  for (const Parameter& parameter : ParametersOf(model.architecture)) {
    module.register_parameter(AttributeOf(parameter.name),
                              Copy(model.parameters, parameter.offset, parameter.shape),
                              /*is_buffer=*/false);
  }
  const std::vector<int64_t> shape = {model.architecture.features};
  module.register_buffer("mean", Copy(model.normalisation.mean, 0, shape));
  module.register_buffer("scale", Copy(model.normalisation.scale, 0, shape));
  module.define(TorchScriptSource(model.architecture));
  std::ostringstream bytes;
  module.save(bytes);
  return bytes.str();
}

}  // namespace

std::string TorchScriptSource(const Architecture& a) {
  Source source;
  if (!a.text()) source.Line("x = (x - self.mean) * self.scale");
  if (a.image()) {
    const int64_t side = ImageSide(a);
    source.Line(absl::StrCat("x = x.view([-1, ", ImageChannels(a), ", ", side, ", ", side, "])"));
  }
  if (a.text()) AddTransformer(a, &source);
  if (a.kind == "resnet") AddResidual(a, &source);
  if (a.kind == "cnn") {
    for (const char* const layer : {"convolution1", "convolution2"}) {
      source.Convolution("x", "x", layer);
      source.Line("x = torch.max_pool2d(torch.relu(x), [2, 2])");
    }
    source.Line("x = torch.flatten(x, 1)");
  }
  for (size_t i = 0; i < a.hidden.size(); ++i) {
    source.Linear("x", "x", absl::StrCat("hidden", i + 1));
    source.Line("x = torch.relu(x)");
  }
  source.Linear("x", "x", "output");
  source.Line("return x");
  return "def forward(self, x):\n" + source.Take();
}

absl::Status ExportTorchScript(const SavedModel& model, const std::string& file) {
  std::string bytes;
  try {
    bytes = Compile(model);
  } catch (const std::exception& error) {  // torch's compiler and writer throw
    return absl::InternalError(absl::StrCat("TorchScript: ", error.what()));
  }
  absl::Status status = WriteFileAtomically(file, bytes);
  if (status.ok()) return status;
  return MakeError(absl::StatusCode::kFailedPrecondition, "OUTPUT_NOT_WRITABLE", status.message(),
                   "give --export a file in a folder that this user may write");
}

}  // namespace trainyard::trainer
