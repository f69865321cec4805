// Optimisers against the formulas of their papers in float64.
#include "worker/training/optimizer.h"

#include <cmath>
#include <vector>

#include "common/random.h"
#include "gtest/gtest.h"

namespace trainyard::training {
namespace {

struct Reference {
  OptimizerOptions options;
  double parameter = 0, first = 0, second = 0;
  int steps = 0;

  void Step(double rate, double gradient) {
    ++steps;
    if (options.kind != OptimizerKind::kAdamW) gradient += options.weight_decay * parameter;
    if (options.kind == OptimizerKind::kSgd) {
      first = options.momentum * first + gradient;
      parameter -= rate * first;
      return;
    }
    if (options.kind == OptimizerKind::kAdamW) parameter *= 1 - rate * options.weight_decay;
    first = options.momentum * first + (1 - options.momentum) * gradient;
    second = options.second_beta * second + (1 - options.second_beta) * gradient * gradient;
    const double m = first / (1 - std::pow(options.momentum, steps));
    const double v = second / (1 - std::pow(options.second_beta, steps));
    parameter -= rate * m / (std::sqrt(v) + options.epsilon);
  }
};

TEST(OptimizerTest, FollowsTheFormulas) {
  for (const OptimizerKind kind :
       {OptimizerKind::kSgd, OptimizerKind::kAdam, OptimizerKind::kAdamW}) {
    OptimizerOptions options;
    options.kind = kind;
    options.weight_decay = 0.01;
    constexpr size_t kSize = 37;
    Random random(3);
    std::vector<float> parameters(kSize), gradients(kSize);
    std::vector<Reference> references(kSize);
    for (size_t i = 0; i < kSize; ++i) {
      parameters[i] = static_cast<float>(random.Normal());
      references[i] = {options, static_cast<double>(parameters[i]), 0, 0, 0};
    }
    Optimizer optimizer(options, kSize);
    for (int step = 0; step < 50; ++step) {
      for (size_t i = 0; i < kSize; ++i) {
        gradients[i] = static_cast<float>(random.Normal());
        references[i].Step(0.03, static_cast<double>(gradients[i]));
      }
      optimizer.Step(0.03, gradients.data(), parameters.data());
    }
    for (size_t i = 0; i < kSize; ++i) {
      EXPECT_NEAR(parameters[i], references[i].parameter, 2e-4) << static_cast<int>(kind);
    }
    EXPECT_EQ(optimizer.steps, 50);
  }
}

TEST(OptimizerTest, GoesOnFromItsState) {
  OptimizerOptions options;
  options.kind = OptimizerKind::kAdam;
  std::vector<float> a = {1, 2, 3}, gradients = {0.5F, -1, 2};
  Optimizer whole(options, 3);
  whole.Step(0.1, gradients.data(), a.data());
  std::vector<float> b = a;
  Optimizer resumed(options, 3);
  resumed.steps = whole.steps;
  resumed.first = whole.first;
  resumed.second = whole.second;
  whole.Step(0.1, gradients.data(), a.data());
  resumed.Step(0.1, gradients.data(), b.data());
  EXPECT_EQ(a, b);
}

}  // namespace
}  // namespace trainyard::training
