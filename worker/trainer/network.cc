// See network.h. One of two files that see libtorch: including it takes a compiler many seconds.
#include "worker/trainer/network.h"

#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/torch.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

extern "C" void openblas_set_num_threads(int count);

namespace trainyard::trainer {
namespace {

void SetThreads() {
  const char* wanted = std::getenv("OMP_NUM_THREADS");
  const int count = wanted == nullptr ? 1 : std::max(1, std::atoi(wanted));
  torch::set_num_threads(count);
  openblas_set_num_threads(count);
}

// Mixed precision while it lives.
class Autocast {
 public:
  explicit Autocast(bool on) : on_(on) {
    if (!on_) return;
    at::autocast::set_autocast_cpu_dtype(at::kBFloat16);
    at::autocast::set_cpu_enabled(true);
  }
  ~Autocast() {
    if (!on_) return;
    at::autocast::set_cpu_enabled(false);
    at::autocast::clear_cache();
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  const bool on_;
};

// Takes an architecture's parameters one after the other, in the order of ParametersOf().
class Layers {
 public:
  explicit Layers(const std::vector<torch::Tensor>& parameters) : parameters_(parameters) {}

  const torch::Tensor& Next() { return parameters_[next_++]; }
  torch::Tensor Convolution(const torch::Tensor& x, int64_t stride = 1, int64_t padding = 1) {
    const torch::Tensor& weight = Next();
    return torch::conv2d(x, weight, Next(), stride, padding);
  }
  torch::Tensor Linear(const torch::Tensor& x) {
    const torch::Tensor& weight = Next();
    return torch::linear(x, weight, Next());
  }
  torch::Tensor GroupNorm(const torch::Tensor& x) {
    const torch::Tensor& weight = Next();
    // Norms are in float32 also where products are not.
    return torch::group_norm(x.to(torch::kFloat32), NormGroups(x.size(1)), weight, Next());
  }
  torch::Tensor LayerNorm(const torch::Tensor& x) {
    const torch::Tensor& weight = Next();
    return torch::layer_norm(x.to(torch::kFloat32), {x.size(-1)}, weight, Next());
  }
  size_t left() const { return parameters_.size() - next_; }

 private:
  const std::vector<torch::Tensor>& parameters_;
  size_t next_ = 0;
};

torch::Tensor Convolutions(torch::Tensor x, Layers* layers) {
  for (int layer = 0; layer < 2; ++layer) {
    x = torch::max_pool2d(torch::relu(layers->Convolution(x)), 2);
  }
  return x.flatten(1);
}

torch::Tensor ResidualBlock(const torch::Tensor& x, int64_t stride, bool widens, Layers* layers) {
  torch::Tensor y = layers->Convolution(x, stride);
  y = torch::relu(layers->GroupNorm(y));
  y = layers->Convolution(y);
  y = layers->GroupNorm(y);
  // The shortcut's parameters come last.
  return torch::relu(y + (widens ? layers->Convolution(x, stride, 0) : x));
}

torch::Tensor Residual(torch::Tensor x, const Architecture& architecture, Layers* layers) {
  x = layers->Convolution(x);
  x = torch::relu(layers->GroupNorm(x));
  for (int64_t stage = 0; stage < kStages; ++stage) {
    for (int64_t block = 0; block < architecture.blocks; ++block) {
      const bool widens = stage > 0 && block == 0;
      x = ResidualBlock(x, widens ? 2 : 1, widens, layers);
    }
  }
  return x.mean({2, 3});
}

// Each token sees itself and those before it.
torch::Tensor Attention(const torch::Tensor& x, int64_t heads, Layers* layers) {
  const int64_t rows = x.size(0), tokens = x.size(1), width = x.size(2);
  const torch::Tensor all = layers->Linear(x).view({rows, tokens, 3, heads, width / heads});
  const auto part = [&all](int64_t i) { return all.select(2, i).transpose(1, 2); };
  torch::Tensor scores = part(0).matmul(part(1).transpose(-2, -1));
  scores = scores / std::sqrt(static_cast<double>(width / heads));
  const torch::Tensor later =
      torch::ones({tokens, tokens}, torch::dtype(torch::kBool)).triu(/*diagonal=*/1);
  scores = scores.masked_fill(later, -std::numeric_limits<float>::infinity());
  const torch::Tensor mixed = torch::softmax(scores, -1).matmul(part(2));
  return layers->Linear(mixed.transpose(1, 2).reshape({rows, tokens, width}));
}

torch::Tensor Transformer(const torch::Tensor& tokens, const Architecture& architecture,
                          Layers* layers) {
  torch::Tensor x = torch::embedding(layers->Next(), tokens);
  x = x + layers->Next().slice(0, 0, tokens.size(1));
  for (int64_t block = 0; block < architecture.blocks; ++block) {
    x = x + Attention(layers->LayerNorm(x), architecture.heads, layers);
    const torch::Tensor up = torch::gelu(layers->Linear(layers->LayerNorm(x)));
    x = x + layers->Linear(up);
  }
  return layers->LayerNorm(x);
}

class TorchNetwork : public Network {
 public:
  TorchNetwork(const Architecture& architecture, float* parameters, float* gradients)
      : architecture_(architecture) {
    for (const Parameter& parameter : ParametersOf(architecture)) {
      torch::Tensor tensor = torch::from_blob(parameters + parameter.offset, parameter.shape);
      if (gradients != nullptr) {
        // A gradient that is there already is added to in place: backward writes into the array.
        tensor.set_requires_grad(true);
        tensor.mutable_grad() = torch::from_blob(gradients + parameter.offset, parameter.shape);
      }
      tensors_.push_back(std::move(tensor));
    }
  }

  Outcome Train(const float* inputs, const int64_t* labels, size_t count, double scale) override {
    if (count == 0) return {};
    torch::Tensor loss;
    {
      const Autocast autocast(mixed_);
      loss = Loss(Forward(inputs, count), Targets(inputs, labels, count));
    }
    (loss * scale).backward();
    return {loss.item<double>(), 0};
  }

  void SetMixedPrecision(bool mixed) override { mixed_ = mixed; }

  void OnReady(std::function<void(size_t parameter)> callback) override {
    on_ready_ = std::move(callback);
    for (size_t i = 0; i < tensors_.size(); ++i) {
      // The node that adds to the gradient: behind it the gradient is complete.
      accumulators_.push_back(torch::autograd::impl::grad_accumulator(tensors_[i]));
      accumulators_.back()->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
          [this, i](const torch::autograd::variable_list& outputs,
                    const torch::autograd::variable_list&) {
            on_ready_(i);
            return outputs;
          }));
    }
  }

  Outcome Evaluate(const float* inputs, const int64_t* labels, size_t count) override {
    if (count == 0) return {};
    const torch::NoGradGuard no_gradients;
    const Autocast autocast(mixed_);
    const torch::Tensor scores = Forward(inputs, count), targets = Targets(inputs, labels, count);
    const torch::Tensor right = scores.argmax(-1).eq(targets).sum();
    return {Loss(scores, targets).item<double>(), right.item<int64_t>()};
  }

 private:
  torch::Tensor Inputs(const float* inputs, size_t count) const {
    const int64_t rows = static_cast<int64_t>(count);
    return torch::from_blob(const_cast<float*>(inputs), {rows, architecture_.features});
  }

  // What is to be guessed: a label for each sample, or the token behind each token.
  torch::Tensor Targets(const float* inputs, const int64_t* labels, size_t count) const {
    if (architecture_.text()) return Inputs(inputs, count).slice(1, 1).to(torch::kInt64);
    return torch::from_blob(const_cast<int64_t*>(labels), {static_cast<int64_t>(count)},
                            torch::kInt64);
  }

  torch::Tensor Loss(const torch::Tensor& scores, const torch::Tensor& targets) const {
    const torch::Tensor sum = torch::nn::functional::cross_entropy(
        scores.flatten(0, -2).to(torch::kFloat32), targets.flatten(),
        torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
    return sum / static_cast<double>(architecture_.guesses());
  }

  torch::Tensor Forward(const float* inputs, size_t count) const {
    Layers layers(tensors_);
    torch::Tensor x = Inputs(inputs, count);
    if (architecture_.text()) {
      const torch::Tensor tokens = x.slice(1, 0, architecture_.guesses()).to(torch::kInt64);
      return layers.Linear(Transformer(tokens, architecture_, &layers));
    }
    if (architecture_.image()) {
      const int64_t side = ImageSide(architecture_);
      x = x.view({-1, ImageChannels(architecture_), side, side});
      x = architecture_.kind == "cnn" ? Convolutions(x, &layers)
                                      : Residual(x, architecture_, &layers);
    }
    while (layers.left() > 2) x = torch::relu(layers.Linear(x));
    return layers.Linear(x);
  }

  const Architecture architecture_;
  std::vector<torch::Tensor> tensors_;
  // Tensors hold them weakly.
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators_;
  std::function<void(size_t)> on_ready_;
  bool mixed_ = false;
};

}  // namespace

std::unique_ptr<Network> MakeNetwork(const Architecture& architecture, float* parameters,
                                     float* gradients) {
  SetThreads();
  return std::make_unique<TorchNetwork>(architecture, parameters, gradients);
}

}  // namespace trainyard::trainer
