// Routes by size, and their memory: written, read, refused when they do not fit.
#include "worker/training/route_table.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <ctime>
#include <string>
#include <utility>

#include "common/file.h"
#include "gtest/gtest.h"

namespace trainyard::training {
namespace {

class RouteTableTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/routes-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    setenv("TRAINYARD_ROUTES", folder_.c_str(), 1);
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }

  std::string folder_;
};

TEST_F(RouteTableTest, SizesGoAsTheNearestMeasuredBelow) {
  RouteTable table;
  table.carriers = {1, 2, 4};
  EXPECT_EQ(table.CarriersFor(0), 1);
  EXPECT_EQ(table.CarriersFor((64 << 10) - 1), 1);
  EXPECT_EQ(table.CarriersFor(64 << 10), 2);
  EXPECT_EQ(table.CarriersFor(size_t{1} << 40), 4);
}

TEST_F(RouteTableTest, RemembersByHostsAndShape) {
  const std::string file = RoutesFile({"a", "b"}, {2, 2});
  EXPECT_EQ(file, RoutesFile({"a", "b"}, {2, 2}));
  EXPECT_NE(file, RoutesFile({"a", "b"}, {2, 3}));
  EXPECT_NE(file, RoutesFile({"b", "a"}, {2, 2}));
  RouteTable written, read;
  written.carriers = {1, 2, 2};
  EXPECT_FALSE(ReadRoutes(file, 2, &read));
  RememberRoutes(file, written);
  ASSERT_TRUE(ReadRoutes(file, 2, &read));
  EXPECT_EQ(read.carriers, written.carriers);
  EXPECT_FALSE(ReadRoutes(file, 1, &read)) << "more carriers than there are ranks";
}

TEST_F(RouteTableTest, WhatIsOlderThanAWeekIsMeasuredAgain) {
  const std::string file = RoutesFile({"a", "b"}, {2, 2});
  RememberRoutes(file, {});
  RouteTable read;
  for (const auto& [days, known] : {std::pair(6, true), std::pair(8, false)}) {
    const timespec when = {std::time(nullptr) - days * 24 * 3600, 0}, times[2] = {when, when};
    ASSERT_EQ(utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
    EXPECT_EQ(ReadRoutes(file, 2, &read), known) << days;
  }
  RememberRoutes(file, {});
  EXPECT_TRUE(ReadRoutes(file, 2, &read));
}

TEST_F(RouteTableTest, WaysInsideANodeAreRememberedByHostAndRanks) {
  const std::string file = PathsFile("a", 2);
  EXPECT_NE(file, PathsFile("a", 3));
  EXPECT_NE(file, PathsFile("b", 2));
  EXPECT_EQ(ReadPaths(file, 4), "");
  RememberPaths(file, "0120");
  EXPECT_EQ(ReadPaths(file, 4), "0120");
  EXPECT_EQ(ReadPaths(file, 5), "");
  for (const char* const text : {"{\"paths\":\"0130\"}", "{\"paths\":7}", "[1]", "{"}) {
    ASSERT_TRUE(WriteFileAtomically(file, text).ok());
    EXPECT_EQ(ReadPaths(file, 4), "") << text;
  }
  RememberPaths("", "0120");
}

TEST_F(RouteTableTest, DamagedMemoryIsNoMemory) {
  const std::string file = RoutesFile({"a"}, {2});
  for (const char* const text :
       {"", "{", "[]", "{\"carriers\":[1,2]}", "{\"carriers\":[1,2,0]}", "{\"carriers\":3}",
        "{\"carriers\":[1,2,\"x\"]}", "{\"carriers\":[1,2,99999999999999]}"}) {
    ASSERT_TRUE(WriteFileAtomically(file, text).ok());
    RouteTable table;
    EXPECT_FALSE(ReadRoutes(file, 8, &table)) << text;
    EXPECT_EQ(table.carriers, RouteTable().carriers);
  }
}

TEST_F(RouteTableTest, EmptyNameRemembersNothing) {
  setenv("TRAINYARD_ROUTES", "", 1);
  EXPECT_EQ(RoutesFile({"a"}, {2}), "");
  RememberRoutes("", {});
  RouteTable table;
  EXPECT_FALSE(ReadRoutes("", 2, &table));
}

}  // namespace
}  // namespace trainyard::training
