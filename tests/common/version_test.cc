// Which versions work together.
#include "common/version.h"

#include <gtest/gtest.h>

#include "common/errors.h"

namespace trainyard {
namespace {

TEST(VersionTest, NeighboursWorkTogether) {
  EXPECT_TRUE(CheckNeighbours("0.1.0", "0.1.9").ok());
  EXPECT_TRUE(CheckNeighbours("0.1.0", "0.2.0").ok());
  EXPECT_TRUE(CheckNeighbours("1.4.2", "1.3.0").ok());
  EXPECT_TRUE(CheckNeighbours(BuildVersion(), BuildVersion()).ok());
}

TEST(VersionTest, OthersAreToldWhichSideToUpdate) {
  const absl::Status newer = CheckNeighbours("0.4.0", "0.1.0");
  EXPECT_EQ(ReasonOf(newer), "VERSION_MISMATCH");
  EXPECT_NE(FaultsOf(newer).faults(0).fix().find("have the scheduler updated to version 0.4.0"),
            std::string::npos);
  const absl::Status older = CheckNeighbours("1.0.0", "2.0.0");
  EXPECT_EQ(ReasonOf(older), "VERSION_MISMATCH");
  EXPECT_NE(FaultsOf(older).faults(0).fix().find("install the client of version 2.0.0"),
            std::string::npos);
}

TEST(VersionTest, TextThatIsNoVersionIsLetThrough) {
  EXPECT_TRUE(CheckNeighbours("", "0.1.0").ok());
  EXPECT_TRUE(CheckNeighbours("unknown", "0.1.0").ok());
  EXPECT_TRUE(CheckNeighbours("9", "0.1.0").ok());
}

}  // namespace
}  // namespace trainyard
