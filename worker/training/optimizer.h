// Optimisers on flat float arrays: stochastic gradient descent with momentum (as in Sutskever et
// al. 2013: v = m v + g, p -= lr v), Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter
// 2019). Element by element: a slice of the arrays gives the slice of the result, on every rank the
// same bits. Thread-compatible.
#ifndef TRAINYARD_WORKER_TRAINING_OPTIMIZER_H_
#define TRAINYARD_WORKER_TRAINING_OPTIMIZER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace trainyard::training {

enum class OptimizerKind { kSgd, kAdam, kAdamW };

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kSgd;
  double momentum = 0.9;  // SGD's m, Adam's beta 1
  double second_beta = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;  // L2 in the gradient; AdamW: decoupled
};

class Optimizer {
 public:
  Optimizer(const OptimizerOptions& options, size_t size);

  // One update of `parameters` by `gradients`, `size` elements each.
  void Step(double learning_rate, const float* gradients, float* parameters);

  size_t size() const { return size_; }
  // State for checkpoints: steps taken and the moments (second is empty for SGD). The moments have
  // size() elements; a caller that restores them keeps that.
  int64_t steps = 0;
  std::vector<float> first;
  std::vector<float> second;

 private:
  void StepSgd(double learning_rate, const float* gradients, float* parameters);
  void StepAdam(double learning_rate, const float* gradients, float* parameters);

  const OptimizerOptions options_;
  const size_t size_;
};

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_OPTIMIZER_H_
