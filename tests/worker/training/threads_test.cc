// The shared-memory communicator with threads as ranks: under ThreadSanitizer its protocol is
// checked, here its answers to ranks that are out of step.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/training/path_choice.h"
#include "worker/training/shared_communicator.h"

#if defined(__SANITIZE_THREAD__)
#define TRAINYARD_TSAN
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TRAINYARD_TSAN
#endif
#endif

namespace trainyard::training {
namespace {

using Ranks = std::vector<std::unique_ptr<Communicator>>;

void InThreads(Ranks* ranks, const std::function<void(Communicator*)>& body) {
  std::vector<std::thread> threads;
  for (auto& rank : *ranks) threads.emplace_back([&body, &rank] { body(rank.get()); });
  for (std::thread& thread : threads) thread.join();
}

TEST(SharedThreadsTest, ManyCollectivesOfManySizes) {
  for (const int size : {2, 3, 5}) {
    auto ranks = CreateSharedCommunicators(size);
    ASSERT_TRUE(ranks.ok()) << ranks.status();
    InThreads(&*ranks, [size](Communicator* c) {
      auto memory = c->Allocate(40000 * sizeof(float));
      ASSERT_TRUE(memory.ok());
      float* const arena = static_cast<float*>(*memory);
      const float sum = static_cast<float>(size * (size + 1) / 2);
      for (int round = 0; round < 30; ++round) {
        for (const size_t count : {size_t{1}, size_t{700}, size_t{40000}}) {
          std::vector<float> plain(count, static_cast<float>(c->rank() + 1));
          std::fill(arena, arena + count, static_cast<float>(c->rank() + 1));
          auto pending = c->StartAllReduce(plain.data(), count, DataType::kFloat32, ReduceOp::kSum);
          ASSERT_TRUE(pending.ok());
          ASSERT_TRUE((*pending)->Wait().ok());
          ASSERT_TRUE(c->AllReduce(arena, count, DataType::kFloat32, ReduceOp::kSum).ok());
          for (size_t i = 0; i < count; ++i) {
            ASSERT_EQ(plain[i], sum);
            ASSERT_EQ(arena[i], sum);
          }
        }
        int64_t number = c->rank();
        ASSERT_TRUE(c->Broadcast(&number, 1, DataType::kInt64, round % size).ok());
        ASSERT_EQ(number, round % size);
      }
    });
  }
}

// Large enough for both paths of private memory, often enough for the choice between them.
TEST(SharedThreadsTest, EveryCollectiveOnBothPaths) {
  constexpr size_t kCount = 5000;
  const int size = 3;
  auto ranks = CreateSharedCommunicators(size);
  ASSERT_TRUE(ranks.ok());
  InThreads(&*ranks, [](Communicator* c) {
    const size_t blocks = static_cast<size_t>(c->size());
    std::vector<int32_t> mine(kCount * blocks), all(kCount * blocks), part(kCount);
    for (int round = 0; round < 3 * PathChoice::kTries; ++round) {
      for (size_t i = 0; i < mine.size(); ++i) {
        mine[i] = static_cast<int32_t>(i) + round + c->rank();
      }
      ASSERT_TRUE(
          c->ReduceScatter(mine.data(), part.data(), kCount, DataType::kInt32, ReduceOp::kMax)
              .ok());
      ASSERT_TRUE(c->AllGather(part.data(), all.data(), kCount, DataType::kInt32).ok());
      ASSERT_TRUE(c->AllReduce(mine.data(), mine.size(), DataType::kInt32, ReduceOp::kMax).ok());
      ASSERT_EQ(all, mine);
      ASSERT_EQ(mine[7], 7 + round + c->size() - 1);
      if (c->rank() == round % c->size()) mine[kCount] = -round;
      ASSERT_TRUE(c->Broadcast(mine.data(), mine.size(), DataType::kInt32, round % c->size()).ok());
      ASSERT_EQ(mine[kCount], -round);
    }
  });
}

// What goes to other nodes is each element once, whoever carries it and wherever it lies.
TEST(SharedThreadsTest, CarriersTakeEveryElementAcrossOnce) {
#ifdef TRAINYARD_TSAN
  // Each rank joins by itself and maps the region elsewhere: the sanitizer takes one word for many
  // and sees no meeting.
  GTEST_SKIP() << "ThreadSanitizer follows addresses";
#endif
  constexpr int kSize = 3;
  struct Case {
    int carriers;
    bool direct;
  };
  for (const auto& [carriers, direct] :
       {Case{1, true}, Case{3, true}, Case{1, false}, Case{2, false}}) {
    auto region_name = absl::StrCat("across-", getpid(), "-", carriers, "-", direct);
    std::vector<std::unique_ptr<NodeCommunicator>> ranks(kSize);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < kSize; ++rank) {
      threads.emplace_back([&, rank, carriers = carriers, direct = direct] {
        auto made = CreateNodeCommunicator(region_name, rank, {10, 11, 12});
        ASSERT_TRUE(made.ok()) << made.status();
        NodeCommunicator& c = **made;
        Across across;
        across.world_size = 2;
        across.direct = direct && *c.CanRead();
        across.carriers = [carriers](size_t) { return carriers; };
        across.reduce = [](void* slice, size_t count, const Call& call) {
          EXPECT_EQ(count, call.count);
          for (size_t i = 0; i < count; ++i) static_cast<int32_t*>(slice)[i] += 1000;
          return absl::OkStatus();
        };
        c.SetAcross(std::move(across));
        auto arena = c.Allocate(300000 * sizeof(int32_t));
        ASSERT_TRUE(arena.ok());
        for (const size_t count : {3, 200, 900, 40000, 300000, 0}) {
          std::vector<int32_t> data(count, rank + 1);
          ASSERT_TRUE(c.AllReduce(data.data(), count, DataType::kInt32, ReduceOp::kMean).ok());
          EXPECT_EQ(data, std::vector<int32_t>(count, 1006 / 2));
          int32_t* const shared = static_cast<int32_t*>(*arena);
          std::fill(shared, shared + count, rank + 1);
          ASSERT_TRUE(c.AllReduce(shared, count, DataType::kInt32, ReduceOp::kSum).ok());
          EXPECT_EQ(std::vector<int32_t>(shared, shared + count),
                    std::vector<int32_t>(count, 1006));
          ASSERT_TRUE(c.Barrier().ok());  // the arena is written again
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

TEST(SharedThreadsTest, RanksOutOfStepAreNamed) {
  auto ranks = CreateSharedCommunicators(2);
  ASSERT_TRUE(ranks.ok());
  std::vector<std::string> said(2);
  InThreads(&*ranks, [&said](Communicator* c) {
    std::vector<float> data(10);
    const size_t count = c->rank() == 0 ? 10 : 9;
    const absl::Status status =
        c->AllReduce(data.data(), count, DataType::kFloat32, ReduceOp::kSum);
    said[static_cast<size_t>(c->rank())] = std::string(status.message());
  });
  EXPECT_THAT(said[0], testing::HasSubstr("rank 0 is in all-reduce (sum) of 10 float32, rank 1 in "
                                          "all-reduce (sum) of 9 float32"));
  EXPECT_THAT(said[1], testing::HasSubstr("rank 1 is in all-reduce (sum) of 9 float32"));
}

// On every path: peers read the blocks of `send` while a rank writes its result.
TEST(SharedThreadsTest, ReduceScatterTakesItsOwnBlockAndNoOther) {
  for (const size_t count : {size_t{10}, size_t{20000}}) {
    auto ranks = CreateSharedCommunicators(3);
    ASSERT_TRUE(ranks.ok());
    InThreads(&*ranks, [count](Communicator* c) {
      const size_t rank = static_cast<size_t>(c->rank());
      for (int time = 0; time < 12; ++time) {
        std::vector<float> all(3 * count, static_cast<float>(rank + 1));
        float* const own = all.data() + rank * count;
        ASSERT_TRUE(
            c->ReduceScatter(all.data(), own, count, DataType::kFloat32, ReduceOp::kSum).ok());
        for (size_t i = 0; i < count; ++i) ASSERT_EQ(own[i], 6.0F);
      }
      std::vector<float> all(3 * count);
      float* const shifted = all.data() + rank * count + 1;
      EXPECT_FALSE(
          c->ReduceScatter(all.data(), shifted, count - 1, DataType::kFloat32, ReduceOp::kSum)
              .ok());
    });
  }
}

TEST(SharedThreadsTest, PiecesOfTheArenaAreZeroAndApart) {
  auto ranks = CreateSharedCommunicators(3);
  ASSERT_TRUE(ranks.ok());
  InThreads(&*ranks, [](Communicator* c) {
    std::vector<int32_t*> blocks;
    for (const size_t count : {1, 5000, 3}) {
      auto memory = c->Allocate(count * sizeof(int32_t));
      ASSERT_TRUE(memory.ok());
      int32_t* const block = static_cast<int32_t*>(*memory);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % 64, 0u);
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(block[i], 0);
        block[i] = c->rank() * 10 + static_cast<int32_t>(blocks.size());
      }
      blocks.push_back(block);
    }
    ASSERT_TRUE(c->Barrier().ok());
    for (size_t i = 0; i < blocks.size(); ++i) {
      EXPECT_EQ(blocks[i][0], c->rank() * 10 + static_cast<int32_t>(i));
    }
    EXPECT_TRUE(absl::IsResourceExhausted(c->Allocate(size_t{1} << 37).status()));
  });
}

}  // namespace
}  // namespace trainyard::training
