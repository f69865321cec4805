// The policy las-r on two real traces, against the figures it promises; skipped with
// a word where the traces are not at hand (see traces.h).
#include <cmath>
#include <string>

#include "gtest/gtest.h"
#include "sim/replay/replay.h"
#include "tests/sim/replay/traces.h"

namespace trainyard::replay {
namespace {

Options LasR(int nodes) {
  Options options;
  options.policy = "las-r";
  options.nodes = nodes;
  options.restart_cost = 60;
  return options;
}

void CheckJobs(const std::vector<TraceJob>& trace, const Outcome& outcome) {
  for (size_t row = 0; row < trace.size(); ++row) {
    const JobResult& job = outcome.jobs[row];
    ASSERT_GE(job.first_start, trace[row].submit);
    ASSERT_GE(job.end - job.first_start, trace[row].duration + 60 * job.preemptions) << row;
  }
}

// What users would have been told at the submit: nearly everybody who waits a start, in an honest
// band.
void CheckTold(const Summary& s) {
  const double told = static_cast<double>(s.estimates_told) / static_cast<double>(s.estimates);
  const double met = static_cast<double>(s.told_met) / static_cast<double>(s.estimates_told);
  EXPECT_GE(told, 0.95);
  EXPECT_GE(met, 0.75);
  EXPECT_LE(met, 0.85);
}

TEST(LasRTest, SteadyTrace) {
  READ_TRACE(trace, "itp-cluster04.csv");
  Options options = LasR(72);
  options.estimates = true;
  const auto outcome = Replay(trace, options);
  ASSERT_TRUE(outcome.ok());
  CheckJobs(trace, *outcome);
  const Summary& s = outcome->summary;
  EXPECT_LE(s.average_jct, 21'900);
  EXPECT_LE(s.multi_node_wait, 25'500);
  EXPECT_LE(s.worst_wait, 130'000);
  EXPECT_LE(static_cast<double>(s.preemptions), 0.35 * static_cast<double>(trace.size()));
  ASSERT_GT(s.estimates, 500);
  const double met = static_cast<double>(s.estimates_met) / static_cast<double>(s.estimates);
  EXPECT_GE(met, 0.75);
  EXPECT_LE(met, 0.85);
  CheckTold(s);
}

TEST(LasRTest, OverloadedTraceUnderTheSameConfiguration) {
  READ_TRACE(trace, "itp-cluster03.csv");
  Options options = LasR(20);
  options.estimates = true;
  const auto outcome = Replay(trace, options);
  ASSERT_TRUE(outcome.ok());
  CheckJobs(trace, *outcome);
  const Summary& s = outcome->summary;
  EXPECT_LE(s.average_jct, 130'000);
  EXPECT_LE(s.multi_node_wait, 110'000);
  EXPECT_LE(s.worst_wait, 880'000);
  const double met = static_cast<double>(s.estimates_met) / static_cast<double>(s.estimates);
  EXPECT_GE(met, 0.75);
  EXPECT_LE(met, 0.85);
  CheckTold(s);
  options.estimates = false;
  options.parameters = {{"aging", 0}};
  const auto off = Replay(trace, options);
  ASSERT_TRUE(off.ok());
  EXPECT_LE(off->summary.average_jct, 80'000);
}

TEST(LasRTest, EqualRunsAndNamedParameters) {
  std::vector<TraceJob> trace;
  for (int i = 0; i < 300; ++i) {
    TraceJob job;
    job.id = i;
    job.submit = i * 97;
    job.gpus = 1 << (i % 6);
    job.duration = 60 + (i * 7919) % 50000;
    trace.push_back(job);
  }
  const auto once = Replay(trace, LasR(4));
  const auto again = Replay(trace, LasR(4));
  ASSERT_TRUE(once.ok() && again.ok());
  CheckJobs(trace, *once);
  for (size_t row = 0; row < trace.size(); ++row) {
    ASSERT_EQ(once->jobs[row].end, again->jobs[row].end);
  }
  Options wrong = LasR(4);
  wrong.parameters = {{"agein", 1}};
  EXPECT_FALSE(Replay(trace, wrong).ok());
}

// The scheduler fills a planner from a snapshot for every plan; the replay's lives on. What the one
// must remember for the other comes with the snapshot: promises, studies that sank, who sank since.
TEST(LasRTest, PlansFromSnapshotsAreThoseOfAPlannerThatLivesOn) {
  std::vector<TraceJob> trace;
  for (int i = 0; i < 400; ++i) {
    TraceJob job;
    job.id = i;
    job.submit = i * 311;
    job.gpus = i % 11 == 0 ? 16 : 1 << (i % 4);
    job.duration = 60 + (i * 7919) % 30000;
    job.tenant = "user" + std::to_string(i % 5);
    trace.push_back(job);
    if (i % 200 != 100) continue;
    for (int trial = 0; trial < 30; ++trial) {
      job.gpus = 1;
      job.duration = 5000 + trial * 37;
      job.study = i;
      trace.push_back(job);
    }
  }
  for (const char* policy : {"las-r", "las", "fair"}) {
    Options options = LasR(4);
    options.policy = policy;
    options.planner = true;
    options.parameters = {{"aging", 30000}};
    const auto lives = Replay(trace, options);
    options.snapshots = true;
    const auto anew = Replay(trace, options);
    ASSERT_TRUE(lives.ok() && anew.ok());
    EXPECT_GT(lives->summary.preemptions, 10) << policy;
    for (size_t row = 0; row < trace.size(); ++row) {
      ASSERT_EQ(lives->jobs[row].first_start, anew->jobs[row].first_start) << policy << " " << row;
      ASSERT_EQ(lives->jobs[row].end, anew->jobs[row].end) << policy << " " << row;
    }
  }
}

// Twenty users on a cluster that is well used; a study of 200 one-GPU trials arrives. Nobody else's
// wait for a first start rises by more than a tenth in the 95th of a hundred.
TEST(LasRTest, StudyHoldsUpNobody) {
  std::vector<TraceJob> users;
  for (int i = 0; i < 1200; ++i) {
    TraceJob job;
    job.id = i;
    job.submit = (i / 20) * 3600 + (i * 6151) % 3600;
    job.gpus = i % 10 == 0 ? 8 : i % 3 == 0 ? 2 : 1;
    job.duration = 300 + (i * 104729) % 26000;
    job.tenant = "user" + std::to_string(i % 20);
    users.push_back(job);
  }
  std::stable_sort(users.begin(), users.end(),
                   [](const TraceJob& a, const TraceJob& b) { return a.submit < b.submit; });
  const size_t count = users.size();
  std::vector<TraceJob> both = users;
  for (int i = 0; i < 200; ++i) {
    TraceJob trial;
    trial.id = 10'000 + i;
    trial.submit = 50 * 3600;
    trial.gpus = 1;
    trial.duration = 7200 + (i * 31) % 3600;
    trial.study = 1;
    both.push_back(trial);
  }
  std::stable_sort(both.begin(), both.end(),
                   [](const TraceJob& a, const TraceJob& b) { return a.submit < b.submit; });
  const auto p95 = [&](const std::vector<TraceJob>& trace) {
    const auto outcome = Replay(trace, LasR(24));
    EXPECT_TRUE(outcome.ok());
    std::vector<int64_t> waits;
    for (size_t row = 0; row < trace.size(); ++row) {
      if (trace[row].study == 0)
        waits.push_back(outcome->jobs[row].first_start - trace[row].submit);
    }
    EXPECT_EQ(waits.size(), count);
    std::sort(waits.begin(), waits.end());
    return waits[static_cast<size_t>(0.95 * static_cast<double>(waits.size()))];
  };
  const int64_t alone = p95(users);
  const int64_t beside = p95(both);
  EXPECT_LE(static_cast<double>(beside), 1.1 * static_cast<double>(alone) + 1)
      << "alone " << alone << " s";
}

}  // namespace
}  // namespace trainyard::replay
