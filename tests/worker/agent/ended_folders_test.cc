// Folders that are over: gone from their place at once, from the disk soon.
#include "worker/agent/ended_folders.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace trainyard::worker {
namespace {

class EndedFoldersTest : public testing::Test {
 protected:
  EndedFoldersTest() {
    char name[] = "/tmp/trainyard-ended-test-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~EndedFoldersTest() override { std::filesystem::remove_all(folder_); }

  std::string Attempt(const std::string& name, size_t bytes) {
    const std::string path = folder_ + "/attempts/" + name;
    std::filesystem::create_directories(path + "/log");
    std::ofstream(path + "/log/rank-0.out") << std::string(bytes, 'x');
    return path;
  }
  size_t Aside() const {
    const auto names = ListFolder(folder_ + "/ended");
    return names.ok() ? names->size() : 0;
  }

  std::string folder_;
};

TEST_F(EndedFoldersTest, ASmallOneIsMovedAsideAndRemovedAMinuteLater) {
  EndedFolders ended(folder_ + "/ended");
  const std::string path = Attempt("a", 10);
  ASSERT_TRUE(ended.Remove(path, absl::Seconds(100)).ok());
  EXPECT_FALSE(Exists(path));
  EXPECT_EQ(Aside(), 1);
  ended.Sweep(absl::Seconds(159));
  EXPECT_EQ(Aside(), 1);
  EXPECT_EQ(ended.size(), 1);
  ended.Sweep(absl::Seconds(160));
  EXPECT_EQ(Aside(), 0);
  EXPECT_EQ(ended.size(), 0);
}

TEST_F(EndedFoldersTest, WhatIsLargeOrHoldsManyFilesGoesAtOnce) {
  EndedFolders ended(folder_ + "/ended");
  const std::string large = Attempt("large", EndedFolders::kBytesMax + 1);
  ASSERT_TRUE(ended.Remove(large, absl::ZeroDuration()).ok());
  EXPECT_FALSE(Exists(large));
  const std::string many = Attempt("many", 1);
  for (int i = 0; i < EndedFolders::kEntriesMax; ++i) {
    std::ofstream(absl::StrCat(many, "/", i)) << i;
  }
  ASSERT_TRUE(ended.Remove(many, absl::ZeroDuration()).ok());
  EXPECT_FALSE(Exists(many));
  EXPECT_EQ(Aside(), 0);
}

TEST_F(EndedFoldersTest, LinksAreNotFollowed) {
  EndedFolders ended(folder_ + "/ended");
  std::ofstream(folder_ + "/precious") << std::string(EndedFolders::kBytesMax + 1, 'p');
  const std::string path = Attempt("linked", 1);
  std::filesystem::create_symlink(folder_ + "/precious", path + "/link");
  std::filesystem::create_directory_symlink(folder_, path + "/up");
  ASSERT_TRUE(ended.Remove(path, absl::ZeroDuration()).ok());
  EXPECT_EQ(Aside(), 1);  // its own bytes count, not those it points to
  ended.Sweep(EndedFolders::kKept);
  EXPECT_EQ(Aside(), 0);
  EXPECT_TRUE(Exists(folder_ + "/precious"));
}

TEST_F(EndedFoldersTest, TooManyDoNotGather) {
  EndedFolders ended(folder_ + "/ended");
  for (size_t i = 0; i <= EndedFolders::kFoldersMax; ++i) {
    ASSERT_TRUE(ended.Remove(Attempt(absl::StrCat(i), 1), absl::ZeroDuration()).ok());
  }
  EXPECT_EQ(ended.size(), EndedFolders::kFoldersMax / 2 + 1);
  EXPECT_EQ(Aside(), ended.size());
}

TEST_F(EndedFoldersTest, WhatAnEarlierProcessLeftIsRemoved) {
  std::filesystem::create_directories(folder_ + "/ended/77-0/log");
  EndedFolders ended(folder_ + "/ended");
  ASSERT_TRUE(ended.Remove(Attempt("b", 1), absl::ZeroDuration()).ok());
  ASSERT_TRUE(ended.RemoveAll().ok());
  EXPECT_EQ(Aside(), 0);
  EXPECT_EQ(ended.size(), 0);
}

TEST_F(EndedFoldersTest, WithoutAPlaceAsideItIsRemovedAtOnce) {
  std::ofstream(folder_ + "/ended") << "a file is in the way";
  EndedFolders ended(folder_ + "/ended");
  const std::string path = Attempt("c", 1);
  ASSERT_TRUE(ended.Remove(path, absl::ZeroDuration()).ok());
  EXPECT_FALSE(Exists(path));
  EXPECT_EQ(ended.size(), 0);
}

}  // namespace
}  // namespace trainyard::worker
