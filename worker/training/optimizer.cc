// See optimizer.h.
#include "worker/training/optimizer.h"

#include <cmath>

namespace trainyard::training {

Optimizer::Optimizer(const OptimizerOptions& options, size_t size)
    : first(size, 0.0F),
      second(options.kind == OptimizerKind::kSgd ? 0 : size, 0.0F),
      options_(options),
      size_(size) {}

void Optimizer::Step(double learning_rate, const float* gradients, float* parameters) {
  ++steps;
  if (options_.kind == OptimizerKind::kSgd) {
    StepSgd(learning_rate, gradients, parameters);
  } else {
    StepAdam(learning_rate, gradients, parameters);
  }
}

void Optimizer::StepSgd(double learning_rate, const float* gradients, float* parameters) {
  const float rate = static_cast<float>(learning_rate);
  const float momentum = static_cast<float>(options_.momentum);
  const float decay = static_cast<float>(options_.weight_decay);
  float* velocity = first.data();
  for (size_t i = 0; i < size_; ++i) {
    velocity[i] = momentum * velocity[i] + (gradients[i] + decay * parameters[i]);
    parameters[i] -= rate * velocity[i];
  }
}

void Optimizer::StepAdam(double learning_rate, const float* gradients, float* parameters) {
  const bool decoupled = options_.kind == OptimizerKind::kAdamW;
  const float beta1 = static_cast<float>(options_.momentum);
  const float beta2 = static_cast<float>(options_.second_beta);
  const double correction1 = 1 - std::pow(options_.momentum, static_cast<double>(steps));
  const double correction2 = 1 - std::pow(options_.second_beta, static_cast<double>(steps));
  const float rate = static_cast<float>(learning_rate / correction1);
  const float scale = static_cast<float>(1 / std::sqrt(correction2));
  const float epsilon = static_cast<float>(options_.epsilon);
  const float l2 = decoupled ? 0.0F : static_cast<float>(options_.weight_decay);
  const float keep =
      decoupled ? static_cast<float>(1 - learning_rate * options_.weight_decay) : 1.0F;
  for (size_t i = 0; i < size_; ++i) {
    const float gradient = gradients[i] + l2 * parameters[i];
    first[i] = beta1 * first[i] + (1 - beta1) * gradient;
    second[i] = beta2 * second[i] + (1 - beta2) * gradient * gradient;
    parameters[i] =
        keep * parameters[i] - rate * first[i] / (std::sqrt(second[i]) * scale + epsilon);
  }
}

}  // namespace trainyard::training
