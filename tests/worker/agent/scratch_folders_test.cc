// What a killed supervisor left outside goes; what only claims to be of that kind stays.
#include "worker/agent/scratch_folders.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace trainyard::worker {
namespace {

namespace fs = std::filesystem;

TEST(ScratchFoldersTest, OnlyFoldersOfOurNamesGo) {
  char attempt[] = "/tmp/trainyard-scratch-test-XXXXXX";
  ASSERT_NE(mkdtemp(attempt), nullptr);
  char ours[] = "/tmp/trainyard-mpi-XXXXXX";
  ASSERT_NE(mkdtemp(ours), nullptr);
  fs::create_directories(absl::StrCat(ours, "/deep/er"));
  const std::string others = JoinPath(attempt, "others");
  fs::create_directories(others);
  // A link of our kind of name, and ways out of it.
  const std::string link = absl::StrCat("/tmp/trainyard-mpi-L", getpid() % 90'000 + 10'000);
  ASSERT_EQ(symlink(others.c_str(), link.c_str()), 0);
  std::ofstream(JoinPath(attempt, "scratch"))
      << ours << "\n"
      << others << "\n"
      << link << "\n"
      << ours << "/../trainyard-mpi-"
      << "\n/tmp/trainyard-mpi-\n/tmp/trainyard-mpi-../..\n/\n\n";
  RemoveScratch(attempt);
  EXPECT_FALSE(Exists(ours));
  EXPECT_TRUE(Exists(others));
  EXPECT_TRUE(Exists(link));
  RemoveScratch(attempt);  // twice is as good as once
  unlink(link.c_str());
  fs::remove_all(attempt);
  RemoveScratch(attempt);
}

}  // namespace
}  // namespace trainyard::worker
