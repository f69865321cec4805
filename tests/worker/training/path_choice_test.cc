// The choice between two paths: all ranks take the same one in every call, both are tried, the
// faster one stays.
#include "worker/training/path_choice.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "worker/training/shared_region.h"

namespace trainyard::training {
namespace {

// Two ranks in two threads; a call on the slow path takes longer for sure.
TEST(PathChoiceTest, RanksAgreeAndTheFasterPathStays) {
  for (const Path slow : {Path::kStaged, Path::kDirect}) {
    auto region = SharedRegion::Alone();
    ASSERT_TRUE(region.ok());
    auto* const said = reinterpret_cast<PathChoice::Said*>((*region)->base() + (1 << 16));
    std::vector<std::vector<Path>> taken(2);
    const auto rank = [&](int number) {
      GangSync sync(region->get(), number, 2);
      PathChoice choice(said, number == 0);
      const Call call = {Collective::kAllReduce, DataType::kFloat32, ReduceOp::kSum, 0, 9, 0};
      for (int i = 0; i < 4 * PathChoice::kTries; ++i) {
        const Path path = choice.Take(Collective::kAllReduce, 1 << 20);
        taken[static_cast<size_t>(number)].push_back(path);
        ASSERT_TRUE(choice.Meet(&sync, call).ok());
        for (int more = 0; more < (path == slow ? 2000 : 1); ++more) {
          ASSERT_TRUE(choice.Meet(&sync, call).ok());
        }
        choice.Done();
      }
    };
    std::thread other([&] { rank(1); });
    rank(0);
    other.join();
    EXPECT_EQ(taken[0], taken[1]);
    const Path fast = slow == Path::kStaged ? Path::kDirect : Path::kStaged;
    int tries[2] = {0, 0};
    for (size_t i = 0; i < taken[0].size(); ++i) {
      if (i < 2 * PathChoice::kTries) {
        ++tries[static_cast<int>(taken[0][i])];
      } else {
        EXPECT_EQ(taken[0][i], fast) << i;
      }
    }
    EXPECT_EQ(tries[0], PathChoice::kTries);
    EXPECT_EQ(tries[1], PathChoice::kTries);
  }
}

// Which way begins changes from pair to pair, and a settled choice is looked at again.
TEST(PathChoiceTest, TriesAreFairAndRepeated) {
  auto region = SharedRegion::Alone();
  ASSERT_TRUE(region.ok());
  auto* const said = reinterpret_cast<PathChoice::Said*>((*region)->base() + (1 << 16));
  GangSync sync(region->get(), 0, 1);
  PathChoice choice(said, true);
  const auto calls = [&](int count) {
    std::string taken;
    for (int i = 0; i < count; ++i) {
      taken += choice.Take(Collective::kAllReduce, 1 << 20) == Path::kStaged ? 's' : 'd';
      EXPECT_TRUE(choice.Meet(&sync, {}).ok());
      choice.Done();
    }
    return taken;
  };
  const auto tries = [](const std::string& taken) {
    return std::pair(std::count(taken.begin(), taken.end(), 's'),
                     std::count(taken.begin(), taken.end(), 'd'));
  };
  EXPECT_EQ(calls(2 * PathChoice::kTries), "sddssddssd");
  const std::string settled = calls(PathChoice::kSettledCalls);
  // The first call may still go the way that lost: its choice was made before the last try's end.
  EXPECT_EQ(settled.substr(1), std::string(settled.size() - 1, settled[1]));
  EXPECT_EQ(tries(calls(2 * PathChoice::kTries)),
            std::pair(std::ptrdiff_t{PathChoice::kTries}, std::ptrdiff_t{PathChoice::kTries}));
  const std::string again = calls(PathChoice::kSettledCalls);
  EXPECT_EQ(again.substr(1), std::string(again.size() - 1, again[1]));
}

// Calls of one class differ in size: what counts is the time for a byte.
TEST(PathChoiceTest, LongerCallsAreNotSlowerOnes) {
  auto region = SharedRegion::Alone();
  ASSERT_TRUE(region.ok());
  auto* const said = reinterpret_cast<PathChoice::Said*>((*region)->base() + (1 << 16));
  GangSync sync(region->get(), 0, 1);
  PathChoice choice(said, true);
  for (int i = 0; i < 2 * PathChoice::kTries; ++i) {
    // The staged way takes 1.5 times as long for 1.9 times as many bytes.
    const bool staged = "sddssddssd"[i] == 's';
    EXPECT_EQ(choice.Take(Collective::kAllReduce, staged ? 1'900'000 : 1'050'000) == Path::kStaged,
              staged);
    EXPECT_TRUE(choice.Meet(&sync, {}).ok());
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(staged ? 15 : 10);
    while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
    choice.Done();
  }
  EXPECT_EQ(choice.Take(Collective::kAllReduce, 1'500'000), Path::kStaged);
}

// What one gang has found the next one begins with, on all ranks; it is still looked at again.
TEST(PathChoiceTest, WhatWasFoundIsRemembered) {
  const std::string file = testing::TempDir() + "/paths.json";
  std::remove(file.c_str());
  for (int gang = 0; gang < 2; ++gang) {
    auto region = SharedRegion::Alone();
    ASSERT_TRUE(region.ok());
    auto* const said = reinterpret_cast<PathChoice::Said*>((*region)->base() + (1 << 16));
    GangSync sync(region->get(), 0, 1);
    PathChoice choice(said, true, file), other(said, false, file);
    choice.Recall();
    other.Recall();
    if (gang == 1) {
      EXPECT_EQ(other.Take(Collective::kAllReduce, 1 << 20), Path::kDirect);
      EXPECT_EQ(other.Take(Collective::kAllReduce, 1 << 14), Path::kStaged) << "not known";
    }
    int direct = 0;
    for (int i = 0; i < 4 * PathChoice::kTries; ++i) {
      const bool staged = choice.Take(Collective::kAllReduce, 1 << 20) == Path::kStaged;
      direct += staged ? 0 : 1;
      EXPECT_TRUE(choice.Meet(&sync, {}).ok());
      const auto until =
          std::chrono::steady_clock::now() + std::chrono::milliseconds(staged ? 20 : 1);
      while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
      choice.Done();
    }
    EXPECT_EQ(direct == 4 * PathChoice::kTries, gang == 1) << "the first gang tries both";
  }
}

TEST(PathChoiceTest, SizesAreChosenApart) {
  auto region = SharedRegion::Alone();
  ASSERT_TRUE(region.ok());
  auto* const said = reinterpret_cast<PathChoice::Said*>((*region)->base() + (1 << 16));
  GangSync sync(region->get(), 0, 1);
  PathChoice choice(said, true);
  EXPECT_EQ(choice.Take(Collective::kAllReduce, 1 << 20), Path::kStaged);
  ASSERT_TRUE(choice.Meet(&sync, {}).ok());
  choice.Done();
  EXPECT_EQ(choice.Take(Collective::kAllReduce, 1 << 14), Path::kStaged);
  ASSERT_TRUE(choice.Meet(&sync, {}).ok());
  choice.Done();
  EXPECT_EQ(choice.Take(Collective::kAllReduce, 1 << 20), Path::kDirect);
}

}  // namespace
}  // namespace trainyard::training
