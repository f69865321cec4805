// The choice between two paths: all ranks take the same one in every call, both are tried, the
// faster one stays.
#include "worker/training/path_choice.h"

#include <memory>
#include <thread>
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
