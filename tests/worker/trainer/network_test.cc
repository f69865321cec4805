// Gradients of every model against differences of its loss, and that they are added in place.
#include "worker/trainer/network.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/random.h"
#include "gtest/gtest.h"

namespace trainyard::trainer {
namespace {

struct Batch {
  std::vector<float> inputs;
  std::vector<int64_t> labels;
};

Batch RandomBatch(const Architecture& architecture, size_t count) {
  Random random(17);
  Batch batch;
  for (size_t i = 0; i < count * static_cast<size_t>(architecture.features); ++i) {
    batch.inputs.push_back(static_cast<float>(random.Normal()));
  }
  for (size_t i = 0; i < count; ++i) {
    batch.labels.push_back(
        static_cast<int64_t>(random.Below(static_cast<uint64_t>(architecture.classes))));
  }
  return batch;
}

const Architecture kArchitectures[] = {
    {"logistic", 6, 3, {}, 0}, {"mlp", 6, 3, {5, 4}, 0}, {"cnn", 64, 3, {7}, 2}};

TEST(NetworkTest, GradientsAreTheDerivativesOfTheLoss) {
  for (const Architecture& architecture : kArchitectures) {
    const size_t size = ParameterCount(architecture);
    std::vector<float> parameters = FirstParameters(architecture, 5), gradients(size, 0.0F);
    const auto network = MakeNetwork(architecture, parameters.data(), gradients.data());
    const Batch batch = RandomBatch(architecture, 6);
    network->Train(batch.inputs.data(), batch.labels.data(), 6, 1.0);
    const auto loss = [&] {
      return network->Evaluate(batch.inputs.data(), batch.labels.data(), 6).loss_sum;
    };
    size_t close = 0, tried = 0;
    for (size_t i = 0; i < size; i += 1 + size / 60, ++tried) {
      const float kept = parameters[i], step = 5e-3F;
      parameters[i] = kept + step;
      const double above = loss();
      parameters[i] = kept - step;
      const double below = loss();
      parameters[i] = kept;
      const double slope = (above - below) / (2 * static_cast<double>(step));
      close += std::abs(slope - static_cast<double>(gradients[i])) < 0.02 + 0.02 * std::abs(slope);
    }
    // Rectifiers have corners: a difference across one is off.
    EXPECT_GE(close * 100, tried * 90) << architecture.Text() << " " << close << "/" << tried;
  }
}

TEST(NetworkTest, GradientsAddUpOverShardsAndScale) {
  for (const Architecture& architecture : kArchitectures) {
    const size_t size = ParameterCount(architecture);
    std::vector<float> parameters = FirstParameters(architecture, 5);
    std::vector<float> whole(size, 0.0F), parts(size, 0.0F);
    const Batch batch = RandomBatch(architecture, 6);
    const size_t features = static_cast<size_t>(architecture.features);
    const auto a = MakeNetwork(architecture, parameters.data(), whole.data());
    const double loss = a->Train(batch.inputs.data(), batch.labels.data(), 6, 0.5).loss_sum;
    const auto b = MakeNetwork(architecture, parameters.data(), parts.data());
    double sum = b->Train(batch.inputs.data(), batch.labels.data(), 4, 0.5).loss_sum;
    sum += b->Train(batch.inputs.data() + 4 * features, batch.labels.data() + 4, 2, 0.5).loss_sum;
    EXPECT_EQ(b->Train(nullptr, nullptr, 0, 0.5).loss_sum, 0) << "an empty shard is no mistake";
    EXPECT_NEAR(sum, loss, 1e-5 * std::abs(loss));
    for (size_t i = 0; i < size; ++i) EXPECT_NEAR(parts[i], whole[i], 1e-4) << i;
  }
}

TEST(NetworkTest, SaysWhichGradientsAreReadyFromTheBack) {
  const Architecture architecture = {"mlp", 6, 3, {5, 4}, 0};
  const size_t size = ParameterCount(architecture);
  std::vector<float> parameters = FirstParameters(architecture, 5), gradients(size, 0.0F);
  const auto network = MakeNetwork(architecture, parameters.data(), gradients.data());
  const std::vector<Parameter> all = ParametersOf(architecture);
  std::vector<size_t> ready;
  bool complete = true;
  network->OnReady([&](size_t parameter) {
    ready.push_back(parameter);
    float sum = 0;
    for (size_t i = 0; i < all[parameter].size; ++i) {
      sum += std::abs(gradients[all[parameter].offset + i]);
    }
    complete = complete && sum > 0;
  });
  const std::vector<float> inputs(12, 0.5F);
  const std::vector<int64_t> labels = {0, 2};
  for (int step = 0; step < 2; ++step) {
    ready.clear();
    network->Train(inputs.data(), labels.data(), 2, 1.0);
    ASSERT_EQ(ready.size(), all.size());
    EXPECT_GE(ready.front(), all.size() - 2);  // the last layer's weights or biases
    EXPECT_LT(ready.back(), 2u);
    std::sort(ready.begin(), ready.end());
    for (size_t i = 0; i < ready.size(); ++i) EXPECT_EQ(ready[i], i);
  }
  EXPECT_TRUE(complete);
}

}  // namespace
}  // namespace trainyard::trainer
