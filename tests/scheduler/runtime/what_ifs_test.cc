// What costly searches found is kept for a while, what cheap ones found is not.
#include "scheduler/runtime/what_ifs.h"

#include <gtest/gtest.h>

namespace trainyard::runtime {
namespace {

std::vector<placement::Counterfactual> Found(const char* text) {
  std::vector<placement::Counterfactual> found(1);
  found[0].text = text;
  return found;
}

TEST(WhatIfsTest, OnlyCostlySearchesAreKeptAndOnlyForAWhile) {
  WhatIfs kept;
  const absl::Duration start = absl::Hours(1);
  kept.Note(1, start, start + WhatIfs::kCostly / 2, Found("cheap"));
  EXPECT_FALSE(kept.Find(1, start + WhatIfs::kCostly / 2).has_value());
  const absl::Duration end = start + 2 * WhatIfs::kCostly;
  kept.Note(1, start, end, Found("costly"));
  ASSERT_TRUE(kept.Find(1, end).has_value());
  EXPECT_EQ(kept.Find(1, end)->at(0).text, "costly");
  EXPECT_FALSE(kept.Find(2, end).has_value());
  EXPECT_TRUE(kept.Find(1, end + WhatIfs::kKept - absl::Milliseconds(1)).has_value());
  EXPECT_FALSE(kept.Find(1, end + WhatIfs::kKept).has_value());
}

TEST(WhatIfsTest, AtMostSoManyRunsAreKept) {
  WhatIfs kept;
  const absl::Duration end = absl::Hours(1);
  for (uint64_t run = 1; run <= 2 * WhatIfs::kMost; ++run) {
    kept.Note(run, end - absl::Seconds(1), end, Found("costly"));
  }
  EXPECT_TRUE(kept.Find(WhatIfs::kMost, end).has_value());
  EXPECT_FALSE(kept.Find(WhatIfs::kMost + 1, end).has_value());
}

}  // namespace
}  // namespace trainyard::runtime
