// What a study knows: the same whatever order the records come in, and small for a hundred
// thousand.
#include "scheduler/tuning/history.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/random.h"
#include "tests/sanitized.h"
#include "tests/scheduler/tuning/builders.h"

namespace trainyard::tuning {
namespace {

std::vector<v1::ParameterValue> Values(int count, Random* random) {
  std::vector<v1::ParameterValue> values(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    values[static_cast<size_t>(i)].set_parameter_id(absl::StrCat("x", i));
    values[static_cast<size_t>(i)].set_number(random->Uniform());
  }
  return values;
}

TEST(HistoryTest, EntriesLieByIdWhateverOrderTheyCameIn) {
  SpecBuilder builder;
  builder.Double("x0", 0, 1);
  const Space space(builder.spec());
  Random random(5);
  History history(builder.spec(), space);
  std::map<int32_t, double> told;  // less than nothing: running
  for (int i = 0; i < 2000; ++i) {
    const auto id = static_cast<int32_t>(1 + random.Below(400));
    const bool runs = random.Below(3) == 0;
    const double loss = random.Uniform();
    const auto values = Values(1, &random);
    told[id] = runs ? -1 : loss;
    history.Observe(runs ? Pending(id, values) : Succeeded(id, values, loss));
  }
  ASSERT_EQ(history.entries().size(), told.size());
  auto expected = told.begin();
  int succeeded = 0;
  for (const auto& [id, entry] : history.entries()) {
    EXPECT_EQ(id, expected->first);
    EXPECT_EQ(entry.id, id);
    EXPECT_EQ(entry.status == Entry::kSucceeded, expected->second >= 0);
    if (expected->second >= 0) {
      EXPECT_EQ(entry.objectives[0], expected->second);
      ++succeeded;
    }
    ++expected;
  }
  EXPECT_EQ(history.succeeded(), succeeded);
  EXPECT_EQ(history.pending(), static_cast<int>(told.size()) - succeeded);
  EXPECT_EQ(history.distinct_points(), told.size());
  for (int32_t id = 0; id <= 401; ++id) {
    EXPECT_EQ(history.Find(id) != nullptr, told.count(id) > 0) << id;
    const auto next = told.upper_bound(id);
    const auto found = history.entries().upper_bound(id);
    ASSERT_EQ(found == history.entries().end(), next == told.end()) << id;
    if (next != told.end()) {
      EXPECT_EQ(found->first, next->first);
    }
  }
}

TEST(HistoryTest, AHundredThousandTrialsOfTenParametersTakeTwentyFiveMegabytes) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's allocator does not count like the usual one";
  constexpr int kTrials = 100'000;
  SpecBuilder builder;
  for (int i = 0; i < 10; ++i) builder.Double(absl::StrCat("x", i), 0, 1);
  const Space space(builder.spec());
  Random random(5);
  History history(builder.spec(), space);
  const size_t before = mallinfo2().uordblks;
  for (int32_t id = 1; id <= kTrials; ++id) {
    const auto values = Values(10, &random);
    history.Observe(Pending(id, values));
    history.Observe(Succeeded(id, values, random.Uniform()));
  }
  const double taken = static_cast<double>(mallinfo2().uordblks - before) / 1e6;
  RecordProperty("megabytes", absl::StrCat(taken));
  EXPECT_LE(taken, 25) << "MB";
}

}  // namespace
}  // namespace trainyard::tuning
