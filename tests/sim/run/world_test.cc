// Simulated worlds: a quiet one loses nothing, every fault alone and all together are survived, the
// same seed is the same history, and what the report counts is there.
#include "sim/run/world.h"

#include <gtest/gtest.h>

#include "absl/strings/str_join.h"

namespace trainyard::sim {
namespace {

Options Of(uint64_t seed, double hours, const std::set<Fault>& faults) {
  Options options;
  options.seed = seed;
  options.hours = hours;
  options.faults = faults;
  return options;
}

std::set<Fault> AllFaults() {
  std::set<Fault> faults;
  for (int i = 0; i < kFaults; ++i) faults.insert(static_cast<Fault>(i));
  return faults;
}

void ExpectSound(const Report& report) {
  EXPECT_FALSE(report.violation.has_value()) << report.violation->what << "\n"
                                             << absl::StrJoin(report.last_events, "\n");
}

TEST(WorldTest, QuietWorldFinishesEverything) {
  const Report report = Play(Of(7, 0.5, {}));
  ExpectSound(report);
  EXPECT_GT(report.submits, 20u);
  EXPECT_GT(report.publications, 10u);
  EXPECT_GT(report.events, 10'000u);
  EXPECT_TRUE(report.faults.empty());
  EXPECT_EQ(report.state_hash.size(), 64u);
}

TEST(WorldTest, SameSeedIsTheSameHistory) {
  const Report first = Play(Of(11, 0.5, AllFaults()));
  const Report second = Play(Of(11, 0.5, AllFaults()));
  const Report other = Play(Of(12, 0.5, AllFaults()));
  ExpectSound(first);
  EXPECT_EQ(first.history_hash, second.history_hash);
  EXPECT_EQ(first.state_hash, second.state_hash);
  EXPECT_EQ(first.events, second.events);
  EXPECT_NE(first.history_hash, other.history_hash);
}

class EachFaultTest : public testing::TestWithParam<int> {};

TEST_P(EachFaultTest, IsMetAndSurvived) {
  const Fault fault = static_cast<Fault>(GetParam());
  Options options = Of(21, 1, {fault});
  options.agents = 4;
  const Report report = Play(options);
  ExpectSound(report);
  ASSERT_EQ(report.faults.size(), 1u);
  // Rare ones need not come within an hour.
  const bool rare = fault == Fault::kSyncFails || fault == Fault::kLostWrites ||
                    fault == Fault::kRestore || fault == Fault::kDiskFull;
  if (!rare) {
    EXPECT_GT(report.faults.begin()->second, 0u) << report.faults.begin()->first;
  }
}

INSTANTIATE_TEST_SUITE_P(Faults, EachFaultTest, testing::Range(0, kFaults),
                         [](const testing::TestParamInfo<int>& param) {
                           std::string name(NameOf(static_cast<Fault>(param.param)));
                           std::erase(name, '-');
                           return name;
                         });

TEST(WorldTest, EveryFaultPointIsPassed) {
  const Report report = Play(Of(31, 1, AllFaults()));
  ExpectSound(report);
  for (const char* const point :
       {"scheduler.before_append", "scheduler.after_append", "scheduler.in_delivery",
        "scheduler.before_rows", "scheduler.after_rows", "agent.before_send",
        "agent.before_store_fact", "agent.after_store_fact", "agent.after_mark_reported",
        "agent.before_drop_facts", "agent.before_store_incarnation", "agent.before_stage",
        "agent.before_launch", "agent.after_launch", "agent.before_stop", "agent.before_publish",
        "agent.after_publish", "agent.before_clean", "agent.after_clean"}) {
    const auto found = report.points.find(point);
    ASSERT_NE(found, report.points.end()) << point;
    EXPECT_GT(found->second.first, 0u) << point;
  }
}

// Names go both ways.
TEST(NamesTest, FaultsAndGuardsHaveNames) {
  for (int i = 0; i < kFaults; ++i) {
    EXPECT_EQ(FaultNamed(NameOf(static_cast<Fault>(i))), static_cast<Fault>(i));
  }
  for (int i = 0; i < kGuards; ++i) {
    EXPECT_EQ(GuardNamed(NameOf(static_cast<Guard>(i))), static_cast<Guard>(i));
  }
  EXPECT_FALSE(FaultNamed("flood").has_value());
  EXPECT_FALSE(GuardNamed("").has_value());
}

}  // namespace
}  // namespace trainyard::sim
