// An exported model, loaded by PyTorch's own runtime, guesses what the trainer's network guesses.
#include "worker/trainer/torchscript.h"

#include <torch/script.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/file.h"
#include "common/random.h"
#include "gtest/gtest.h"
#include "worker/trainer/network.h"

namespace trainyard::trainer {
namespace {

SavedModel RandomModel(const Architecture& architecture) {
  SavedModel model;
  model.architecture = architecture;
  model.parameters = FirstParameters(architecture, 3);
  Random random(4);
  for (float& value : model.parameters) value += static_cast<float>(0.3 * random.Normal());
  const size_t features = static_cast<size_t>(architecture.features);
  model.normalisation = {std::vector<float>(features, 0.25F), std::vector<float>(features, 2.0F)};
  return model;
}

// Cross entropy of the program's scores, as the network sums it.
double LossOf(torch::jit::Module* program, const Architecture& architecture,
              const std::vector<float>& rows, const std::vector<int64_t>& labels) {
  const int64_t count = static_cast<int64_t>(labels.size());
  torch::Tensor x =
      torch::from_blob(const_cast<float*>(rows.data()), {count, architecture.features});
  torch::Tensor targets =
      torch::from_blob(const_cast<int64_t*>(labels.data()), {count}, torch::kInt64);
  if (architecture.text()) {
    targets = x.slice(1, 1).to(torch::kInt64).flatten();
    x = x.slice(1, 0, architecture.guesses()).to(torch::kInt64);
  }
  const torch::Tensor scores = program->forward({x}).toTensor().flatten(0, -2);
  const torch::Tensor sum = -torch::log_softmax(scores, 1).gather(1, targets.view({-1, 1})).sum();
  return sum.item<double>() / static_cast<double>(architecture.guesses());
}

TEST(TorchScriptTest, GuessesAsTheNetworkDoes) {
  const Architecture architectures[] = {{"logistic", 6, 3, {}, 0},
                                        {"mlp", 6, 3, {5, 4}, 0},
                                        {"cnn", 64, 3, {7}, 2},
                                        {"resnet", 192, 3, {}, 4, 2},
                                        {"transformer", 9, 5, {}, 8, 2, 2}};
  std::string folder = testing::TempDir() + "/script-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  for (const Architecture& architecture : architectures) {
    SavedModel model = RandomModel(architecture);
    const std::string file = folder + "/model.pt";
    ASSERT_TRUE(ExportTorchScript(model, file).ok());
    torch::jit::Module program = torch::jit::load(file);
    Random random(6);
    std::vector<float> rows(4 * static_cast<size_t>(architecture.features));
    for (float& value : rows) {
      value = architecture.text() ? static_cast<float>(random.Below(5))
                                  : static_cast<float>(random.Normal());
    }
    const std::vector<int64_t> labels = {0, 2, 1, 2};
    const double loss = LossOf(&program, architecture, rows, labels);
    if (!architecture.text()) {
      for (float& value : rows) value = (value - 0.25F) * 2;
    }
    const auto network = MakeNetwork(architecture, model.parameters.data(), nullptr);
    const double expected = network->Evaluate(rows.data(), labels.data(), 4).loss_sum;
    EXPECT_NEAR(loss, expected, 1e-4 * expected) << architecture.Text();
  }
  EXPECT_FALSE(ExportTorchScript(RandomModel(architectures[0]), folder + "/absent/model.pt").ok());
  EXPECT_TRUE(RemoveTree(folder).ok());
}

}  // namespace
}  // namespace trainyard::trainer
