// See network.h. The only file that sees libtorch: including it takes a compiler many seconds.
#include "worker/trainer/network.h"

#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/torch.h>

#include <cstdlib>
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
    const torch::Tensor loss = Loss(Forward(Inputs(inputs, count)), labels, count);
    (loss * scale).backward();
    return {loss.item<double>(), 0};
  }

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
    const torch::Tensor scores = Forward(Inputs(inputs, count));
    const torch::Tensor right = scores.argmax(1).eq(Labels(labels, count)).sum();
    return {Loss(scores, labels, count).item<double>(), right.item<int64_t>()};
  }

 private:
  torch::Tensor Inputs(const float* inputs, size_t count) const {
    const int64_t rows = static_cast<int64_t>(count);
    return torch::from_blob(const_cast<float*>(inputs), {rows, architecture_.features});
  }

  static torch::Tensor Labels(const int64_t* labels, size_t count) {
    return torch::from_blob(const_cast<int64_t*>(labels), {static_cast<int64_t>(count)},
                            torch::kInt64);
  }

  static torch::Tensor Loss(const torch::Tensor& scores, const int64_t* labels, size_t count) {
    return torch::nn::functional::cross_entropy(
        scores, Labels(labels, count),
        torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
  }

  torch::Tensor Forward(torch::Tensor x) const {
    size_t next = 0;
    if (architecture_.kind == "cnn") {
      const int64_t side = ImageSide(architecture_);
      x = x.view({-1, 1, side, side});
      for (int layer = 0; layer < 2; ++layer, next += 2) {
        x = torch::conv2d(x, tensors_[next], tensors_[next + 1], 1, 1);
        x = torch::max_pool2d(torch::relu(x), 2);
      }
      x = x.flatten(1);
    }
    for (; next + 2 < tensors_.size(); next += 2) {
      x = torch::relu(torch::linear(x, tensors_[next], tensors_[next + 1]));
    }
    return torch::linear(x, tensors_[next], tensors_[next + 1]);
  }

  const Architecture architecture_;
  std::vector<torch::Tensor> tensors_;
  // Tensors hold them weakly.
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators_;
  std::function<void(size_t)> on_ready_;
};

}  // namespace

std::unique_ptr<Network> MakeNetwork(const Architecture& architecture, float* parameters,
                                     float* gradients) {
  SetThreads();
  return std::make_unique<TorchNetwork>(architecture, parameters, gradients);
}

}  // namespace trainyard::trainer
