// How ranks of a node find each other: strangers that say nothing hold nobody up, and who does not
// come is named.
#include "worker/training/shared_region.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::training {
namespace {

// Connects as a rank does, as soon as the first rank listens.
FileDescriptor Connect(const std::string& name) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string text =
      absl::StrCat("trainyard-gang-", getuid(), "-", HexOf(Sha256Of(name)).substr(0, 32));
  std::memcpy(address.sun_path + 1, text.data(), text.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
  while (true) {
    FileDescriptor peer(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(peer.get(), reinterpret_cast<sockaddr*>(&address), length) == 0) return peer;
    std::this_thread::yield();
  }
}

TEST(SharedRegionTest, WhoConnectsAndSaysNothingHoldsNobodyUp) {
  const std::string name = absl::StrCat("region-silent-", getpid());
  std::vector<std::thread> ranks;
  const absl::Time start = absl::Now();
  ranks.emplace_back([&] {
    auto region = SharedRegion::Join(name, 0, 3, absl::Seconds(60));
    EXPECT_TRUE(region.ok()) << region.status();
  });
  const FileDescriptor silent = Connect(name);
  for (const int rank : {1, 2}) {
    ranks.emplace_back([&name, rank] {
      auto region = SharedRegion::Join(name, rank, 3, absl::Seconds(60));
      EXPECT_TRUE(region.ok()) << region.status();
    });
  }
  for (std::thread& rank : ranks) rank.join();
  EXPECT_LT(absl::Now() - start, absl::Seconds(30)) << "the silent one was waited for";
}

TEST(SharedRegionTest, WhoDoesNotComeIsNamed) {
  const std::string name = absl::StrCat("region-missing-", getpid());
  std::thread other([&] { EXPECT_TRUE(SharedRegion::Join(name, 2, 4, absl::Seconds(60)).ok()); });
  auto region = SharedRegion::Join(name, 0, 4, absl::Milliseconds(500));
  EXPECT_THAT(std::string(region.status().message()),
              testing::HasSubstr("local ranks 1, 3 of 4 did not come in time"));
  other.join();
}

}  // namespace
}  // namespace trainyard::training
