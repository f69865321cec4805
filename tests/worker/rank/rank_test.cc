// The shim's pure parts; what it does between mpirun and a program is in supervisor_test.
#include "worker/rank/rank.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string.h>

#include "worker/supervisor/requests.h"

namespace trainyard::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

const char* FakeOpenMpi(const char* name) {
  if (strcmp(name, "OMPI_COMM_WORLD_RANK") == 0) return "3";
  if (strcmp(name, "OMPI_COMM_WORLD_SIZE") == 0) return "8";
  if (strcmp(name, "OMPI_COMM_WORLD_LOCAL_RANK") == 0) return "1";
  return nullptr;
}

TEST(RankTest, OpenMpisVariablesBecomeOurs) {
  EXPECT_THAT(FromOpenMpi(FakeOpenMpi),
              ElementsAre(Pair("RANK", "3"), Pair("WORLD_SIZE", "8"), Pair("LOCAL_RANK", "1")));
}

TEST(RankTest, TablesKeepAnyValue) {
  const std::string table("A=1\0B=x=y\nz\0C=\0", 15);
  EXPECT_THAT(ParseTable(table), ElementsAre(Pair("A", "1"), Pair("B", "x=y\nz"), Pair("C", "")));
}

TEST(RankTest, BrokenEntriesAreSkipped) {
  EXPECT_THAT(ParseTable(""), IsEmpty());
  EXPECT_THAT(ParseTable("A=1"), IsEmpty()) << "torn";
  EXPECT_THAT(ParseTable(std::string("=x\0NONE\0B=2\0", 12)), ElementsAre(Pair("B", "2")));
}

TEST(RankTest, RanksAreDigitsOnly) {
  EXPECT_EQ(ParseRank("0"), 0);
  EXPECT_EQ(ParseRank("127"), 127);
  for (const char* text : {"", "-1", "1x", " 1", "99999999999", "0x1"}) {
    EXPECT_EQ(ParseRank(text), -1) << text;
  }
  EXPECT_EQ(ParseRank(nullptr), -1);
}

TEST(RankTest, TheSupervisorReadsWhatTheShimWrites) {
  const auto parse = [](std::string line) {
    EXPECT_EQ(line.back(), '\n');
    line.pop_back();
    return ParseReporterRequest(line);
  };
  Request request = parse(HelloLine(3, 77));
  EXPECT_EQ(request.kind, Request::Kind::kHello);
  EXPECT_EQ(request.rank, 3);
  EXPECT_EQ(request.pid, 77);
  request = parse(ExitedLine(1, 139, 123456789012));
  EXPECT_EQ(request.kind, Request::Kind::kRankExited);
  EXPECT_EQ(request.status, 139);
  EXPECT_EQ(request.time_ns, 123456789012);
  request = parse(ExecFailedLine(0, 2, "/a \"b\"\\c\n"));
  EXPECT_EQ(request.kind, Request::Kind::kRankFailed);
  EXPECT_EQ(request.status, 2);
  EXPECT_EQ(request.path, "/a \"b\"\\c\n");
}

}  // namespace
}  // namespace trainyard::worker
