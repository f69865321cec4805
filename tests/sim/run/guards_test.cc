// The checkers are worth something: with a guard taken away a named seed finds the damage within
// seconds, and the same seed finds none while the guard stands.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_join.h"
#include "sim/run/world.h"

namespace trainyard::sim {
namespace {

struct Case {
  Guard guard;
  uint64_t seed;
  double hours;
  const char* what;  // part of the violation
};

class GuardsTest : public testing::TestWithParam<Case> {
 protected:
  static Options OptionsOf(const Case& one) {
    Options options;
    options.seed = one.seed;
    options.hours = one.hours;
    for (int i = 0; i < kFaults; ++i) options.faults.insert(static_cast<Fault>(i));
    return options;
  }
};

TEST_P(GuardsTest, MissingGuardIsFound) {
  Options options = OptionsOf(GetParam());
  options.guard_off = GetParam().guard;
  const Report report = Play(options);
  ASSERT_TRUE(report.violation.has_value()) << "nothing was found without the guard";
  EXPECT_NE(report.violation->what.find(GetParam().what), std::string::npos)
      << report.violation->what;
  EXPECT_FALSE(report.last_events.empty());
  // And again, event by event.
  const Report again = Play(options);
  EXPECT_EQ(again.history_hash, report.history_hash);
  EXPECT_EQ(again.violation->what, report.violation->what);
}

TEST_P(GuardsTest, StandingGuardHolds) {
  const Report report = Play(OptionsOf(GetParam()));
  EXPECT_FALSE(report.violation.has_value()) << report.violation->what << "\n"
                                             << absl::StrJoin(report.last_events, "\n");
}

INSTANTIATE_TEST_SUITE_P(Guards, GuardsTest,
                         testing::Values(Case{Guard::kFence, 8, 0.5, "published what"},
                                         Case{Guard::kLease, 1, 2, "computes twice"},
                                         Case{Guard::kAckAfterSync, 1, 0.1, "were durable"},
                                         Case{Guard::kEpochOnce, 2, 2, "was given"},
                                         Case{Guard::kFreeByRelease, 2, 2, "serves"}),
                         [](const testing::TestParamInfo<Case>& param) {
                           std::string name(NameOf(param.param.guard));
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace trainyard::sim
