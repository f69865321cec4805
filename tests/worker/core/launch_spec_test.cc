// launch.json and exit.json: what is written reads back, and what is wrong is refused by name.
#include "worker/core/launch_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trainyard::worker {
namespace {

using testing::HasSubstr;

LaunchSpec FullSpec() {
  LaunchSpec spec;
  spec.launcher = "mpirun";
  spec.argv = {"python3", "-m", "a b", "--x=\"quoted\"\n"};
  spec.env = {{"PATH", "/bin"}, {"TF_CONFIG", R"({"cluster":{}})"}};
  spec.ranks = {{0, 0, {{"RANK", "0"}}}, {1, 1, {{"RANK", "1"}}}};
  spec.world_size = 2;
  spec.member = 3;
  spec.node = "node-1";
  spec.mpirun = "/opt/mpirun";
  spec.rank_shim = "/opt/trainyard-rank";
  spec.open_mpi = 5;
  spec.daemon = "/usr/bin/prted";
  spec.network_interface = "eth0";
  spec.port_range = "20000-20099";
  spec.gang = {{"a", "10.0.0.1", {0, 2}}, {"b", "10.0.0.2", {1}}};
  spec.grace_ms = 1;
  spec.timeout_ms = 2;
  spec.lease_ms = 3;
  spec.job_dir_argument = "--job-dir=/x";
  spec.parameters = {"rate"};
  spec.metric_file = "/m";
  spec.user_id = 1000;
  spec.group_id = 1001;
  return spec;
}

TEST(LaunchSpecTest, ReadsBackWhole) {
  const LaunchSpec spec = FullSpec();
  LaunchSpec read;
  std::string error;
  ASSERT_TRUE(LaunchSpecFromJson(LaunchSpecToJson(spec), &read, &error)) << error;
  EXPECT_EQ(LaunchSpecToJson(read), LaunchSpecToJson(spec));
  EXPECT_EQ(read.argv, spec.argv);
  EXPECT_EQ(read.env, spec.env);
  EXPECT_EQ(read.ranks[1].env, spec.ranks[1].env);
  EXPECT_EQ(read.group_id, 1001);
}

TEST(LaunchSpecTest, AbsentFieldsHaveDefaults) {
  LaunchSpec read;
  std::string error;
  ASSERT_TRUE(
      LaunchSpecFromJson(R"({"version":1,"argv":["x"],"ranks":[{}],"later":true})", &read, &error))
      << error;
  EXPECT_EQ(read.launcher, "direct");
  EXPECT_EQ(read.grace_ms, 10000);
  EXPECT_EQ(read.user_id, -1);
}

TEST(LaunchSpecTest, WhatIsNoSpecIsRefused) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "cannot be read"},
      {"[]", "not an object"},
      {"{}", "version"},
      {R"({"version":2,"argv":["x"],"ranks":[{}]})", "version"},
      {R"({"version":1,"ranks":[{}]})", "no program"},
      {R"({"version":1,"argv":[""],"ranks":[{}]})", "no program"},
      {R"({"version":1,"argv":["x"]})", "no rank"},
      {R"({"version":1,"argv":["x"],"ranks":[{}],"launcher":"ssh"})", "ssh"},
      {R"({"version":1,"argv":"x","ranks":[{}]})", "cannot be read"},
      {R"({"version":1,"argv":["x"],"ranks":[1]})", "cannot be read"},
      {R"({"version":1,"argv":["x"],"ranks":[{"env":{"A":1}}]})", "cannot be read"},
  };
  for (const auto& [text, what] : cases) {
    LaunchSpec read;
    std::string error;
    EXPECT_FALSE(LaunchSpecFromJson(text, &read, &error)) << text;
    EXPECT_THAT(error, HasSubstr(what)) << text;
  }
}

TEST(ExitReportTest, ReadsBackWholeAndSurvivesAnyBytes) {
  ExitReport report;
  report.cause = "USER_ERROR";
  report.reason = "PROGRAM_FAILED";
  report.message = "m";
  report.rank = 2;
  report.node = "n";
  report.exit_code = 3;
  report.signal = 4;
  report.stderr_tail = "bad \xff\xfe bytes\n";
  report.stop = "STOP_CANCEL";
  report.last_step = 5;
  report.metrics_seen = {"a"};
  report.start_us = 6;
  report.end_us = 7;
  ExitReport read;
  std::string error;
  ASSERT_TRUE(ExitReportFromJson(ExitReportToJson(report), &read, &error)) << error;
  EXPECT_EQ(read.cause, "USER_ERROR");
  EXPECT_EQ(read.rank, 2);
  EXPECT_EQ(read.signal, 4);
  EXPECT_THAT(read.stderr_tail, HasSubstr(" bytes\n"));
  EXPECT_EQ(read.stop, "STOP_CANCEL");
  EXPECT_EQ(read.metrics_seen, report.metrics_seen);
  EXPECT_EQ(read.end_us, 7);
  for (const char* text : {"", "{", "[]", R"({"version":9})", R"({"version":1,"rank":"x"})"}) {
    EXPECT_FALSE(ExitReportFromJson(text, &read, &error)) << text;
  }
}

TEST(LayoutTest, NamesPerRank) {
  EXPECT_EQ(layout::RankLog(3, false), "log/rank-3.out");
  EXPECT_EQ(layout::RankLog(3, true), "log/rank-3.err");
  EXPECT_EQ(layout::RankTable(0), "ranks/rank-0.env");
}

}  // namespace
}  // namespace trainyard::worker
