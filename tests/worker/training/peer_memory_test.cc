// Reading the memory of other ranks: who has gone is named by the number that people know.
#include "worker/training/peer_memory.h"

#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/training/shared_region.h"

namespace trainyard::training {
namespace {

// Two ranks in two threads, known as 6 and 7.
TEST(PeerMemoryTest, WhoHasGoneIsNamedByItsOwnNumber) {
  auto region = SharedRegion::Alone();
  ASSERT_TRUE(region.ok());
  auto* const cards = reinterpret_cast<PeerMemory::Card*>((*region)->base() + (1 << 16));
  const std::vector<int> numbers = {6, 7}, theirs = {1, 2, 3, 4};
  PeerMemory own(cards, 0, 2, numbers), other(cards, 1, 2, numbers);
  std::thread peer([&] {
    GangSync sync(region->get(), 1, 2, numbers);
    EXPECT_TRUE(other.Open(&sync, {}).ok());
  });
  GangSync sync(region->get(), 0, 2, numbers);
  EXPECT_TRUE(own.Open(&sync, {}).ok());
  peer.join();
  ASSERT_TRUE(own.usable());
  other.Show(theirs.data());
  int got[2] = {};
  ASSERT_TRUE(own.Read(1, 2 * sizeof(int), got, sizeof(got)).ok());
  EXPECT_EQ(got[0], 3);
  EXPECT_EQ(got[1], 4);

  const pid_t gone = fork();
  if (gone == 0) _exit(0);
  ASSERT_EQ(waitpid(gone, nullptr, 0), gone);
  cards[1].pid = gone;
  const absl::Status status = own.Read(1, 0, got, sizeof(got));
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()),
              testing::HasSubstr("rank 6 cannot read the memory of rank 7: "));
}

}  // namespace
}  // namespace trainyard::training
