// Leases end once, for good, by the monotonic clock.
#include "scheduler/runtime/leases.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trainyard::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Duration kLease = absl::Seconds(15);

TEST(LeasesTest, RenewedLeaseLasts) {
  Leases leases;
  leases.Start("a", absl::Seconds(0), kLease);
  EXPECT_TRUE(leases.Renew("a", absl::Seconds(10), kLease));
  EXPECT_THAT(leases.Expire(absl::Seconds(20)), IsEmpty());
  EXPECT_EQ(leases.Next(), absl::Seconds(25));
  EXPECT_THAT(leases.Expire(absl::Seconds(25)), ElementsAre("a"));
}

TEST(LeasesTest, LostLeaseIsNotRenewed) {
  Leases leases;
  leases.Start("a", absl::Seconds(0), kLease);
  EXPECT_THAT(leases.Expire(absl::Seconds(15)), ElementsAre("a"));
  EXPECT_FALSE(leases.Renew("a", absl::Seconds(15), kLease));
  EXPECT_THAT(leases.Expire(absl::Seconds(100)), IsEmpty()) << "it ends once";
  leases.Start("a", absl::Seconds(100), kLease);
  EXPECT_TRUE(leases.Renew("a", absl::Seconds(101), kLease));
}

TEST(LeasesTest, UnknownNodeHoldsNone) {
  Leases leases;
  EXPECT_FALSE(leases.Renew("a", absl::Seconds(0), kLease));
  EXPECT_EQ(leases.Next(), absl::InfiniteDuration());
}

TEST(LeasesTest, LateWordDoesNotShortenALease) {
  Leases leases;
  leases.Start("a", absl::Seconds(10), kLease);
  EXPECT_TRUE(leases.Renew("a", absl::Seconds(5), kLease));
  EXPECT_EQ(leases.Next(), absl::Seconds(25));
}

}  // namespace
}  // namespace trainyard::runtime
