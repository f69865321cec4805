// The policy fair by the replay, on hand-made loads: what a user runs is over as if it had a share
// of the cluster of its own.
#include <algorithm>
#include <map>
#include <string>

#include "gtest/gtest.h"
#include "sim/replay/replay.h"

namespace trainyard::replay {
namespace {

Options With(const std::string& policy, int nodes) {
  Options options;
  options.policy = policy;
  options.planner = true;
  options.nodes = nodes;
  options.restart_cost = 60;
  return options;
}

void Submit(std::vector<TraceJob>* trace, const std::string& user, int64_t at, int32_t gpus,
            int64_t duration, int count) {
  for (int i = 0; i < count; ++i) {
    TraceJob job;
    job.id = static_cast<int64_t>(trace->size());
    job.submit = at;
    job.gpus = gpus;
    job.duration = duration;
    job.tenant = user;
    trace->push_back(job);
  }
}

// When the last job of each user is over.
std::map<std::string, int64_t> Ends(const std::vector<TraceJob>& trace, const Options& options) {
  const auto outcome = Replay(trace, options);
  EXPECT_TRUE(outcome.ok()) << outcome.status();
  std::map<std::string, int64_t> ends;
  for (size_t row = 0; row < trace.size(); ++row) {
    int64_t& end = ends[trace[row].tenant];
    end = std::max(end, outcome->jobs[row].end);
  }
  return ends;
}

// Two users with the same work, one of which came first: both are done when a half each would have
// been done with it. Under fifo the second one waits for the first.
TEST(FairTest, EqualUsersAreDoneAsWithAHalfEach) {
  std::vector<TraceJob> trace;
  Submit(&trace, "early", 0, 1, 3600, 160);
  Submit(&trace, "late", 1, 1, 3600, 48);
  std::vector<TraceJob> late;
  Submit(&late, "late", 1, 1, 3600, 48);
  const int64_t alone = Ends(late, With("fifo", 2)).at("late");  // 16 of 32 devices
  const auto shared = Ends(trace, With("fair", 4));
  EXPECT_LE(shared.at("late"), alone + 3600 / 10 + 360) << "victims run their minimum first";
  EXPECT_GT(Ends(trace, With("fifo", 4)).at("late"), alone * 3 / 2);
  EXPECT_LE(shared.at("early"), 7 * 3600 + 3600) << "nothing is left idle";
}

// A user with a long queue of long jobs does not hold up one who comes now and then.
TEST(FairTest, NowAndThenDoesNotWaitForALongQueue) {
  std::vector<TraceJob> trace;
  Submit(&trace, "busy", 0, 2, 20 * 3600, 100);
  for (int i = 1; i <= 20; ++i) Submit(&trace, "rare", i * 1800, 4, 900, 1);
  std::stable_sort(trace.begin(), trace.end(),
                   [](const TraceJob& a, const TraceJob& b) { return a.submit < b.submit; });
  const auto outcome = Replay(trace, With("fair", 2));
  ASSERT_TRUE(outcome.ok());
  for (size_t row = 0; row < trace.size(); ++row) {
    if (trace[row].tenant != "rare") continue;
    EXPECT_LE(outcome->jobs[row].first_start - trace[row].submit, 300) << trace[row].submit;
    EXPECT_EQ(outcome->jobs[row].preemptions, 0);
  }
}

// A gang that its user's share cannot hold starts nevertheless, by the promise.
TEST(FairTest, GangBeyondTheShareStarts) {
  std::vector<TraceJob> trace;
  for (int user = 0; user < 4; ++user) {
    Submit(&trace, "user" + std::to_string(user), 0, 1, 7 * 3600 + 60 * user, 100);
  }
  Submit(&trace, "gang", 10, 16, 3600, 1);
  Options options = With("fair", 3);
  options.parameters = {{"aging", 0}};
  const auto never = Replay(trace, options);
  ASSERT_TRUE(never.ok());
  EXPECT_GE(never->jobs.back().first_start, 100 * 3600) << "last of all";
  options.parameters = {{"aging", 7200}};
  const auto outcome = Replay(trace, options);
  ASSERT_TRUE(outcome.ok());
  EXPECT_LE(outcome->jobs.back().first_start, 20 * 3600);
}

}  // namespace
}  // namespace trainyard::replay
