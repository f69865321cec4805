// Buckets of gradients, threads as ranks: whatever the shapes, the order in which gradients become
// ready and the options, every rank ends with the sum over all ranks; clipping, accumulation,
// 16-bit transport, parameters without a gradient.
#include "worker/training/gradient_buckets.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <thread>

#include "common/random.h"
#include "gtest/gtest.h"
#include "worker/training/shared_communicator.h"

namespace trainyard::training {
namespace {

using Ranks = std::vector<std::unique_ptr<Communicator>>;

void InThreads(int size, const std::function<void(Communicator*)>& body) {
  auto ranks = CreateSharedCommunicators(size);
  ASSERT_TRUE(ranks.ok());
  std::vector<std::thread> threads;
  for (auto& rank : *ranks) threads.emplace_back([&body, &rank] { body(rank.get()); });
  for (std::thread& thread : threads) thread.join();
}

// What a rank adds to element `i` in pass `pass`: small quarters, so that float sums are exact.
float Part(int rank, int pass, size_t i) {
  return static_cast<float>(static_cast<int>((i * 7 + static_cast<size_t>(rank * 3 + pass)) % 9) -
                            4) /
         4;
}

struct Case {
  std::vector<size_t> sizes;
  BucketOptions options;
  int ranks = 2;
  int passes = 1;
  bool some_missing = false;
};

Case MakeCase(uint64_t seed) {
  Random random(MixSeed(seed, 0xb0));
  Case made;
  for (size_t i = 0, n = 1 + random.Below(12); i < n; ++i) {
    made.sizes.push_back(random.Below(4) == 0 ? random.Below(9000) : 1 + random.Below(300));
  }
  made.options.bucket_bytes = 4 << random.Below(14);
  made.options.overlap = random.Below(2) == 0;
  const DataType wires[] = {DataType::kFloat32, DataType::kFloat16, DataType::kBFloat16};
  made.options.wire = wires[random.Below(3)];
  made.ranks = 1 + static_cast<int>(random.Below(4));
  made.passes = 1 + static_cast<int>(random.Below(3));
  made.some_missing = random.Below(3) == 0;
  return made;
}

void RunRank(const Case& made, uint64_t seed, Communicator* c) {
  auto buckets = GradientBuckets::Create(c, made.sizes, 2, made.options);
  ASSERT_TRUE(buckets.ok()) << buckets.status();
  Random random(MixSeed(seed, static_cast<uint64_t>(c->rank())));  // orders differ by rank
  std::vector<size_t> offsets(made.sizes.size()), order(made.sizes.size());
  std::exclusive_scan(made.sizes.begin(), made.sizes.end(), offsets.begin(), size_t{0});
  for (int step = 0; step < 3; ++step) {
    (*buckets)->Begin();
    (*buckets)->extras()[0] = static_cast<float>(c->rank());
    (*buckets)->extras()[1] = 1;
    for (int pass = 0; pass < made.passes; ++pass) {
      if (pass + 1 == made.passes) (*buckets)->BeginLastPass();
      std::iota(order.begin(), order.end(), size_t{0});
      for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
      for (const size_t parameter : order) {
        if (made.some_missing && parameter % 3 == 1) continue;
        for (size_t i = 0; i < made.sizes[parameter]; ++i) {
          const size_t at = offsets[parameter] + i;
          (*buckets)->data()[at] += Part(c->rank(), pass + step, at);
        }
        (*buckets)->MarkReady(parameter);
      }
    }
    ASSERT_TRUE((*buckets)->Finish().ok());
    for (size_t parameter = 0; parameter < made.sizes.size(); ++parameter) {
      const bool missing = made.some_missing && parameter % 3 == 1;
      for (size_t i = 0; i < made.sizes[parameter]; ++i) {
        const size_t at = offsets[parameter] + i;
        float expected = 0;
        for (int rank = 0; rank < c->size() && !missing; ++rank) {
          for (int pass = 0; pass < made.passes; ++pass) expected += Part(rank, pass + step, at);
        }
        ASSERT_EQ((*buckets)->data()[at], expected)
            << "seed " << seed << " step " << step << " parameter " << parameter << " at " << i;
      }
    }
    ASSERT_EQ((*buckets)->extras()[0], static_cast<float>(c->size() * (c->size() - 1) / 2));
    ASSERT_EQ((*buckets)->extras()[1], static_cast<float>(c->size()));
  }
}

TEST(GradientBucketsTest, AnyShapesAndOrdersGiveTheSum) {
  for (uint64_t seed = 1; seed <= 120; ++seed) {
    const Case made = MakeCase(seed);
    SCOPED_TRACE(testing::Message() << "seed " << seed << " ranks " << made.ranks << " overlap "
                                    << made.options.overlap << " as " << NameOf(made.options.wire));
    InThreads(made.ranks, [&](Communicator* c) { RunRank(made, seed, c); });
    if (HasFatalFailure()) return;
  }
}

TEST(GradientBucketsTest, BucketsCoverEverythingFromTheBack) {
  InThreads(2, [](Communicator* c) {
    const std::vector<size_t> sizes = {10, 500, 20, 30, 5};
    auto buckets = GradientBuckets::Create(c, sizes, 1, {.bucket_bytes = 60 * sizeof(float)});
    ASSERT_TRUE(buckets.ok());
    ASSERT_EQ((*buckets)->count(), 565u);
    const std::vector<Range> expected = {{510, 566}, {10, 510}, {0, 10}};
    ASSERT_EQ((*buckets)->bucket_count(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ((*buckets)->bucket(i).begin, expected[i].begin);
      EXPECT_EQ((*buckets)->bucket(i).end, expected[i].end);
    }
  });
}

TEST(GradientBucketsTest, ClipsToTheNormOfAllGradientsTogether) {
  InThreads(3, [](Communicator* c) {
    auto buckets = GradientBuckets::Create(c, {3, 4}, 0, {.clip_norm = 2});
    ASSERT_TRUE(buckets.ok());
    for (int step = 0; step < 2; ++step) {
      (*buckets)->Begin();
      std::fill((*buckets)->data(), (*buckets)->data() + 7, step == 0 ? 1.0F : 0.1F);
      ASSERT_TRUE((*buckets)->Finish().ok());
      const double each = step == 0 ? 3 : 3 * 0.1F, norm = each * std::sqrt(7.0);
      EXPECT_NEAR((*buckets)->norm(), norm, 1e-6);
      const double scale = norm > 2 ? 2 / norm : 1;
      for (int i = 0; i < 7; ++i) EXPECT_NEAR((*buckets)->data()[i], each * scale, 1e-6);
    }
  });
}

TEST(GradientBucketsTest, SixteenBitsRoundOnce) {
  for (const DataType wire : {DataType::kFloat16, DataType::kBFloat16}) {
    InThreads(2, [wire](Communicator* c) {
      auto buckets = GradientBuckets::Create(c, {1000}, 0, {.wire = wire, .overlap = true});
      ASSERT_TRUE(buckets.ok());
      Random random(9);
      (*buckets)->BeginLastPass();
      std::vector<float> value(1000);
      for (size_t i = 0; i < value.size(); ++i) {
        value[i] = (*buckets)->data()[i] = static_cast<float>(random.Normal());
      }
      (*buckets)->MarkReady(0);
      ASSERT_TRUE((*buckets)->Finish().ok());
      const float error = wire == DataType::kFloat16 ? 0x1p-10F : 0x1p-7F;
      for (size_t i = 0; i < value.size(); ++i) {
        EXPECT_NEAR((*buckets)->data()[i], 2 * value[i], 2 * std::abs(value[i]) * error + 1e-6F);
      }
    });
  }
}

// 3 x 30000 is more than float16 holds.
TEST(GradientBucketsTest, SumsThatFloat16DoesNotHoldArrive) {
  for (const bool overlap : {false, true}) {
    InThreads(3, [overlap](Communicator* c) {
      auto buckets = GradientBuckets::Create(
          c, {5, 5}, 1, {.bucket_bytes = 20, .wire = DataType::kFloat16, .overlap = overlap});
      ASSERT_TRUE(buckets.ok());
      for (const float value : {30000.0F, 1e6F, 1.0F}) {
        (*buckets)->Begin();
        (*buckets)->extras()[0] = 1;
        std::fill((*buckets)->data(), (*buckets)->data() + 10, c->rank() == 0 ? value : 30000.0F);
        ASSERT_TRUE((*buckets)->Finish().ok());
        EXPECT_EQ((*buckets)->finite(), value != 1e6F);
        EXPECT_EQ((*buckets)->extras()[0], 3);
        if (!(*buckets)->finite()) continue;
        const float sum = value + 60000;
        EXPECT_NEAR((*buckets)->data()[9], sum, sum / 1000);
      }
    });
  }
}

TEST(GradientBucketsTest, WhatIsNoNumberIsToldAndNotClipped) {
  InThreads(2, [](Communicator* c) {
    auto buckets = GradientBuckets::Create(c, {4}, 0, {.clip_norm = 1});
    ASSERT_TRUE(buckets.ok());
    for (const float value : {std::nanf(""), HUGE_VALF, 2.0F}) {
      (*buckets)->Begin();
      std::fill((*buckets)->data(), (*buckets)->data() + 4, 2.0F);
      if (c->rank() == 1) (*buckets)->data()[0] = value;
      ASSERT_TRUE((*buckets)->Finish().ok());
      EXPECT_EQ((*buckets)->finite(), value == 2.0F);
      EXPECT_EQ((*buckets)->data()[3], value == 2.0F ? 0.5F : 4.0F);
    }
  });
}

TEST(GradientBucketsTest, IntegersAreNoTransport) {
  InThreads(2, [](Communicator* c) {
    auto buckets = GradientBuckets::Create(c, {3}, 0, {.wire = DataType::kInt32});
    EXPECT_EQ(buckets.status().code(), absl::StatusCode::kInvalidArgument);
  });
}

}  // namespace
}  // namespace trainyard::training
