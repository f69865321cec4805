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
    const uint64_t classes = static_cast<uint64_t>(architecture.classes);
    batch.inputs.push_back(static_cast<float>(
        architecture.text() ? static_cast<double>(random.Below(classes)) : random.Normal()));
  }
  for (size_t i = 0; i < count; ++i) {
    batch.labels.push_back(
        static_cast<int64_t>(random.Below(static_cast<uint64_t>(architecture.classes))));
  }
  return batch;
}

const Architecture kArchitectures[] = {
    {"logistic", 6, 3, {}, 0}, {"mlp", 6, 3, {5, 4}, 0},    {"cnn", 64, 3, {7}, 2},
    {"cnn", 48, 3, {7}, 2},    {"resnet", 64, 3, {}, 4, 2}, {"transformer", 9, 5, {}, 8, 2, 2}};

TEST(NetworkTest, GradientsAreTheDerivativesOfTheLoss) {
  for (const Architecture& architecture : kArchitectures) {
    const size_t size = ParameterCount(architecture);
    std::vector<float> parameters = FirstParameters(architecture, 5), gradients(size, 0.0F);
    // Away from the first values: blocks that begin as the identity pass no gradient on.
    Random random(8);
    for (float& value : parameters) value += static_cast<float>(0.2 * random.Normal());
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

TEST(NetworkTest, TransformerSeesNothingBehindAToken) {
  const Architecture architecture = {"transformer", 9, 5, {}, 8, 2, 2};
  std::vector<float> parameters = FirstParameters(architecture, 5);
  const auto network = MakeNetwork(architecture, parameters.data(), nullptr);
  // Only the last target differs: it is no input, so each earlier guess is the same.
  const std::vector<float> one = {0, 1, 2, 3, 4, 0, 1, 2, 3}, other = {0, 1, 2, 3, 4, 0, 1, 2, 4};
  const Outcome a = network->Evaluate(one.data(), nullptr, 1);
  const Outcome b = network->Evaluate(other.data(), nullptr, 1);
  EXPECT_NEAR(a.loss_sum, b.loss_sum, 2.0 / 8) << "one of eight guesses differs, both near ln 5";
  EXPECT_LE(std::abs(a.correct - b.correct), 1);
}

TEST(NetworkTest, MixedPrecisionIsNear) {
  for (const Architecture& architecture : kArchitectures) {
    const size_t size = ParameterCount(architecture);
    std::vector<float> parameters = FirstParameters(architecture, 5), exact(size, 0.0F);
    std::vector<float> mixed(size, 0.0F);
    const Batch batch = RandomBatch(architecture, 6);
    const auto a = MakeNetwork(architecture, parameters.data(), exact.data());
    const auto b = MakeNetwork(architecture, parameters.data(), mixed.data());
    b->SetMixedPrecision(true);
    const double loss = a->Train(batch.inputs.data(), batch.labels.data(), 6, 1.0).loss_sum;
    const double near = b->Train(batch.inputs.data(), batch.labels.data(), 6, 1.0).loss_sum;
    EXPECT_NEAR(near, loss, 0.03 * loss) << architecture.Text();
    double difference = 0, norm = 0;
    for (size_t i = 0; i < size; ++i) {
      difference += std::pow(static_cast<double>(exact[i]) - static_cast<double>(mixed[i]), 2);
      norm += std::pow(static_cast<double>(exact[i]), 2);
    }
    EXPECT_LT(difference, 0.01 * norm) << architecture.Text();
    EXPECT_NE(exact, mixed) << architecture.Text();
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
