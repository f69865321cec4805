// The replay: hand-made traces whose schedule is worked out in the comments, errors of the reader,
// and published rows of two real traces (where they are at hand: traces.h).
#include "sim/replay/replay.h"

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "sim/replay/trace.h"
#include "tests/sim/replay/traces.h"

namespace trainyard::replay {
namespace {

std::vector<TraceJob> Trace(const std::string& rows) {
  auto trace = ParseTrace("job_id,submit_time,num_gpus,duration\n" + rows, "t.csv");
  EXPECT_TRUE(trace.ok()) << trace.status();
  return *trace;
}

Outcome Play(const std::string& rows, const Options& options) {
  auto outcome = Replay(Trace(rows), options);
  EXPECT_TRUE(outcome.ok()) << outcome.status();
  return *outcome;
}

Options With(const std::string& policy, int nodes = 1, int64_t cost = 0) {
  Options options;
  options.policy = policy;
  options.nodes = nodes;
  options.restart_cost = cost;
  return options;
}

std::vector<int64_t> Ends(const Outcome& outcome) {
  std::vector<int64_t> ends;
  for (const JobResult& job : outcome.jobs) ends.push_back(job.end);
  return ends;
}

TEST(ReplayTest, FifoHeadBlocksWhoeverWouldFit) {
  // 8 GPUs: job 0 takes 6 until 100; job 1 needs 8 and waits; job 2 would fit but stands behind it.
  const std::string rows = "0,0,6,100\n1,1,8,50\n2,2,2,10\n";
  EXPECT_EQ(Ends(Play(rows, With("fifo"))), (std::vector<int64_t>{100, 150, 160}));
  EXPECT_EQ(Ends(Play(rows, With("skip"))), (std::vector<int64_t>{100, 150, 12}));
}

TEST(ReplayTest, EasyBackfillsOnlyWhatCannotDelayTheHead) {
  // The head (job 1) can start at 100. Job 2 (2 GPUs, 300 s) would delay it; job 3 (2 GPUs, 90 s)
  // ends before.
  EXPECT_EQ(Ends(Play("0,0,6,100\n1,1,8,50\n2,2,2,300\n3,3,2,90\n", With("easy"))),
            (std::vector<int64_t>{100, 150, 450, 93}));
  // With 7 GPUs wanted at the shadow, a long job on one GPU leaves the head its place.
  EXPECT_EQ(Ends(Play("0,0,6,100\n1,1,7,50\n2,2,1,300\n", With("easy"))),
            (std::vector<int64_t>{100, 150, 302}));
}

TEST(ReplayTest, SjfOrdersByGpuSeconds) {
  EXPECT_EQ(Ends(Play("0,0,8,10\n1,1,8,100\n2,1,8,20\n", With("sjf"))),
            (std::vector<int64_t>{10, 130, 30}));
}

TEST(ReplayTest, SrsfPreemptsAndPaysTheRestart) {
  // Job 1 takes the GPUs at 10 for 20 s; job 0 comes back at 30, spends 5 s, and has 90 s left.
  const Outcome outcome = Play("0,0,8,100\n1,10,8,20\n", With("srsf", 1, 5));
  EXPECT_EQ(Ends(outcome), (std::vector<int64_t>{125, 30}));
  EXPECT_EQ(outcome.jobs[0].preemptions, 1);
  EXPECT_EQ(outcome.summary.worst_wait, 25);
}

TEST(ReplayTest, LasDemotesAtItsThresholdAndPeersDoNotPreemptEachOther) {
  Options options = With("las");
  options.las_threshold = 80;  // 10 s of 8 GPUs
  // Job 0 is demoted at 10 while nobody waits. Job 1 arrives at 20 and takes the GPUs; it is
  // demoted at 30, stands behind the waiting job 0 for that pass, and loses them. Level 1 then runs
  // job 0 to its end.
  EXPECT_EQ(Ends(Play("0,0,8,50\n1,20,8,30\n", options)), (std::vector<int64_t>{60, 80}));
}

TEST(ReplayTest, PackRefusesWhatAPoolWouldHold) {
  // Two nodes of 8 with 3 free each: 6 GPUs do not fit inside a node, but in a pool.
  const std::string rows = "0,0,5,100\n1,0,5,100\n2,1,6,10\n";
  Options options = With("fifo", 2);
  EXPECT_EQ(Ends(Play(rows, options)), (std::vector<int64_t>{100, 100, 110}));
  options.pack = false;
  EXPECT_EQ(Ends(Play(rows, options)), (std::vector<int64_t>{100, 100, 11}));
}

TEST(ReplayTest, RefusesUnknownPolicyAndImpossibleJob) {
  const auto unknown = Replay(Trace("0,0,1,1\n"), With("fofo"));
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(unknown.status().message().find("did you mean fifo"), absl::string_view::npos);
  const auto impossible = Replay(Trace("7,0,64,1\n"), With("fifo"));
  EXPECT_NE(impossible.status().message().find("job 7 asks for 64"), absl::string_view::npos);
}

TEST(ReplayTest, OptionsWithoutEffectAreRefused) {
  const std::string rows = "0,0,8,50\n1,20,8,30\n";
  for (const char* policy : {"fifo", "fair"}) {
    Options options = With(policy);
    options.las_threshold = 80;
    const auto refused = Replay(Trace(rows), options);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument) << policy;
    EXPECT_NE(refused.status().message().find("has no levels"), absl::string_view::npos);
  }
  Options options = With("easy");
  options.parameters = {{"aging", 1}};
  EXPECT_FALSE(Replay(Trace(rows), options).ok());
  options.planner = true;
  EXPECT_TRUE(Replay(Trace(rows), options).ok());
}

// Job 0 leaves the first level of the planner's las after 10 s; job 1 is above it when it comes,
// and by the usual threshold it would not be.
TEST(ReplayTest, ThePlannersLasTakesTheThreshold) {
  Options options = With("las");
  options.planner = true;
  options.parameters = {{"min_run", 0}};
  EXPECT_EQ(Ends(Play("0,0,8,50\n1,20,8,5\n", options)), (std::vector<int64_t>{50, 55}));
  options.las_threshold = 80;
  EXPECT_EQ(Ends(Play("0,0,8,50\n1,20,8,5\n", options)), (std::vector<int64_t>{55, 25}));
}

TEST(ReplayTest, AJobIsOverNodesWhenItIsLargerThanOne) {
  Options options = With("fifo", 4);
  options.gpus_per_node = 2;
  EXPECT_EQ(Play("0,0,8,100\n1,0,4,50\n", options).summary.multi_node_wait, 50);
}

TEST(ReplayTest, NothingOverflows) {
  Options options = With("fifo", 2'000'000'000);
  options.gpus_per_node = 2'000'000'000;
  EXPECT_EQ(Replay(Trace("0,0,1,1\n"), options).status().code(),
            absl::StatusCode::kInvalidArgument);
  for (const char* row : {"0,0,1048576,4000000", "0,0,1,1000000000000", "0,1000000000000,1,1"}) {
    const auto trace =
        ParseTrace(absl::StrCat("job_id,submit_time,num_gpus,duration\n", row, "\n"), "t.csv");
    EXPECT_FALSE(trace.ok()) << row;
  }
}

TEST(TraceTest, NamesEveryFaultyLine) {
  const auto bad =
      ParseTrace("job_id,submit_time,num_gpus,duration\n1,0,x,5\n2,0,1,5\n3,-1,1,5\n", "t.csv");
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.status().message().find("t.csv:2:1: num_gpus is \"x\""), absl::string_view::npos);
  EXPECT_NE(bad.status().message().find("t.csv:4:1: submit_time is \"-1\""),
            absl::string_view::npos);
  EXPECT_FALSE(ParseTrace("a,b\n1,2\n", "t.csv").ok());
  EXPECT_FALSE(ParseTrace("job_id,submit_time,num_gpus,duration\n", "t.csv").ok());
}

struct PublishedRow {
  const char* trace;
  int nodes;
  const char* policy;
  int64_t cost;
  int64_t average, p50, p90, p99, makespan, wait, multi_wait, worst;
  const char* utilisation;
  int64_t preemptions;
};

// Columns as published; -1 where none was.
constexpr PublishedRow kRows[] = {
    {"itp-cluster03.csv", 20, "fifo", 0, 292066, 158969, 824657, 877839, 5111051, 269917, 133746,
     854221, "0.728", 0},
    {"itp-cluster03.csv", 20, "skip", 0, 235489, 89010, 697955, 783813, 5089982, 213341, 212731,
     1128192, "0.731", 0},
    {"itp-cluster03.csv", 20, "easy", 0, 215929, 127331, 489006, 849846, 5057233, 193781, 122478,
     814966, "0.736", 0},
    {"itp-cluster03.csv", 20, "sjf", 0, 72361, 20755, 124008, 1228629, 5279586, 50213, 213420,
     1436091, "0.705", 0},
    {"itp-cluster03.csv", 20, "srsf", 0, 45560, 10646, 77774, 678071, 5839768, 23412, 104575,
     1927121, "0.637", 7518},
    {"itp-cluster03.csv", 20, "srsf", 60, 45990, 10733, 78941, 680789, 5856963, 23842, -1, -1,
     "0.636", 7428},
    {"itp-cluster03.csv", 20, "las", 0, 84673, 14988, 306183, 639776, 5474352, 62525, -1, -1,
     "0.680", 4336},
    {"itp-cluster03.csv", 20, "las", 60, 86472, 15072, 310474, 652336, 5482492, 64324, 243768,
     2966053, "0.679", 4289},
    {"itp-cluster03.csv", 20, "lasfifo", 60, 135398, 16520, 626225, 910100, 5109746, 113250, 116487,
     868688, "0.729", 5066},
    {"itp-cluster04.csv", 72, "fifo", 0, 40528, 28872, 76124, 265619, 5175866, 20546, 21039, 128149,
     "0.852", 0},
    {"itp-cluster04.csv", 72, "skip", 0, 27618, 14218, 51820, 269486, 5175866, 7636, 23716, 147638,
     "0.852", 0},
    {"itp-cluster04.csv", 72, "easy", 0, 31458, 18313, 65689, 263267, 5175866, 11476, 18300, 115713,
     "0.852", 0},
    {"itp-cluster04.csv", 72, "sjf", 0, 23628, 10536, 42749, 280439, 5175866, 3646, 21438, 340973,
     "0.852", 0},
    {"itp-cluster04.csv", 72, "srsf", 0, 20930, 8027, 29060, 278063, 5175866, 948, 19832, 646812,
     "0.852", 18828},
    {"itp-cluster04.csv", 72, "srsf", 60, 21030, 8036, 29116, 280799, 5175866, 1048, -1, -1,
     "0.852", 19521},
    {"itp-cluster04.csv", 72, "las", 0, 21406, 8119, 31711, 281618, 5175866, 1424, -1, -1, "0.852",
     14200},
    {"itp-cluster04.csv", 72, "las", 60, 21489, 8121, 31701, 285496, 5175866, 1507, 34180, 344741,
     "0.852", 14194},
    {"itp-cluster04.csv", 72, "lasfifo", 60, 24011, 8570, 55218, 274981, 5175866, 4029, 24639,
     133343, "0.852", 21852},
};

void CheckRow(const PublishedRow& row, const Options& options) {
  READ_TRACE(trace, row.trace);
  const auto outcome = Replay(trace, options);
  ASSERT_TRUE(outcome.ok());
  const Summary& s = outcome->summary;
  EXPECT_EQ(std::llround(s.average_jct), row.average);
  EXPECT_EQ(std::llround(s.p50), row.p50);
  EXPECT_EQ(std::llround(s.p90), row.p90);
  EXPECT_EQ(std::llround(s.p99), row.p99);
  EXPECT_EQ(s.makespan, row.makespan);
  EXPECT_EQ(std::llround(s.average_wait), row.wait);
  if (row.multi_wait >= 0) {
    EXPECT_EQ(std::llround(s.multi_node_wait), row.multi_wait);
  }
  if (row.worst >= 0) {
    EXPECT_EQ(s.worst_wait, row.worst);
  }
  char utilisation[16];
  snprintf(utilisation, sizeof utilisation, "%.3f", s.utilisation);
  EXPECT_STREQ(utilisation, row.utilisation);
  EXPECT_EQ(s.preemptions, row.preemptions);
}

class PublishedRowTest : public testing::TestWithParam<PublishedRow> {};

TEST_P(PublishedRowTest, EqualInEveryColumn) {
  const PublishedRow& row = GetParam();
  CheckRow(row, With(row.policy, row.nodes, row.cost));
}

// What the scheduler runs, told time limits that are the run times: the same rows.
TEST_P(PublishedRowTest, EqualByThePlanner) {
  const PublishedRow& row = GetParam();
  const std::string policy = row.policy;
  if (policy != "fifo" && policy != "skip" && policy != "easy") return;
  Options options = With(row.policy, row.nodes, row.cost);
  options.planner = true;
  options.limit_factor = policy == "easy" ? 1 : 0;
  CheckRow(row, options);
}

INSTANTIATE_TEST_SUITE_P(Itp, PublishedRowTest, testing::ValuesIn(kRows),
                         [](const testing::TestParamInfo<PublishedRow>& row) {
                           return absl::StrCat(row.param.policy, "_", row.param.nodes, "_c",
                                               row.param.cost);
                         });

// The planner's las chooses its victims where least is lost; otherwise it is the reference's.
TEST(ReplayTest, LasByThePlannerIsCloseToTheReference) {
  READ_TRACE(trace, "itp-cluster04.csv");
  Options options = With("las", 72, 60);
  options.planner = true;
  const auto outcome = Replay(trace, options);
  ASSERT_TRUE(outcome.ok());
  EXPECT_NEAR(outcome->summary.average_jct, 21'489, 0.05 * 21'489);
  EXPECT_LT(outcome->summary.preemptions, 14'194) << "victims that lose least are fewer";
}

TEST(ReplayTest, PoolRowsOfThePublishedSimulator) {
  READ_TRACE(trace, "itp-cluster03.csv");
  Options options = With("fifo", 20);
  options.pack = false;
  EXPECT_EQ(std::llround(Replay(trace, options)->summary.average_jct * 10), 2803376);
  options.policy = "las";
  EXPECT_EQ(std::llround(Replay(trace, options)->summary.average_jct * 10), 825845);
}

}  // namespace
}  // namespace trainyard::replay
