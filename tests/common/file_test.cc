// Files: whole replacement, safe removal, paths that cannot climb.
#include "common/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>

namespace trainyard {
namespace {

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = JoinPath(testing::TempDir(), "trainyard_file_XXXXXX");
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }
  std::string Path(const std::string& name) const { return JoinPath(folder_, name); }

  std::string folder_;
};

TEST_F(FileTest, ReplacesWholeAndLeavesNothingBeside) {
  for (const std::string& bytes :
       {std::string("first"), std::string(200'000, 'x'), std::string()}) {
    ASSERT_TRUE(WriteFileDurably(Path("a"), bytes).ok());
    EXPECT_EQ(*ReadFile(Path("a")), bytes);
    ASSERT_TRUE(WriteFileAtomically(Path("a"), bytes + "2").ok());
    EXPECT_EQ(*ReadFile(Path("a")), bytes + "2");
  }
  EXPECT_EQ(*ListFolder(folder_), std::vector<std::string>{"a"});
}

TEST_F(FileTest, ModesHold) {
  ASSERT_TRUE(WriteFileDurably(Path("secret"), "x", 0600).ok());
  struct stat info {};
  ASSERT_EQ(stat(Path("secret").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_TRUE(MakeFolders(Path("deep/er/folder"), 0700).ok());
  ASSERT_EQ(stat(Path("deep/er").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_TRUE(MakeFolders(Path("deep/er/folder")).ok());
}

TEST_F(FileTest, AbsentThingsAreNotFound) {
  EXPECT_TRUE(absl::IsNotFound(ReadFile(Path("absent")).status()));
  EXPECT_TRUE(absl::IsNotFound(ListFolder(Path("absent")).status()));
  EXPECT_TRUE(absl::IsNotFound(WriteFileDurably(Path("absent/a"), "x")));
  EXPECT_TRUE(RemoveTree(Path("absent")).ok());
  EXPECT_FALSE(Exists(Path("absent")));
  EXPECT_FALSE(ReadFile(folder_).ok());
}

TEST_F(FileTest, RemovalFollowsNoLink) {
  ASSERT_TRUE(MakeFolders(Path("kept")).ok());
  ASSERT_TRUE(WriteFileDurably(Path("kept/file"), "x").ok());
  ASSERT_TRUE(MakeFolders(Path("tree/inner")).ok());
  ASSERT_EQ(symlink(Path("kept").c_str(), Path("tree/inner/link").c_str()), 0);
  ASSERT_EQ(symlink("nowhere", Path("dangling").c_str()), 0);
  EXPECT_TRUE(Exists(Path("dangling")));
  ASSERT_TRUE(RemoveTree(Path("tree")).ok());
  EXPECT_FALSE(Exists(Path("tree")));
  EXPECT_EQ(*ReadFile(Path("kept/file")), "x");
}

TEST_F(FileTest, FoldersAreListedInOrder) {
  for (const char* name : {"b", "a", ".hidden", "c"}) {
    ASSERT_TRUE(WriteFileAtomically(Path(name), "").ok());
  }
  EXPECT_EQ(*ListFolder(folder_), (std::vector<std::string>{".hidden", "a", "b", "c"}));
}

TEST_F(FileTest, DescriptorsHaveOneOwner) {
  FileDescriptor first(open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_TRUE(first.valid());
  const int fd = first.get();
  FileDescriptor second(std::move(first));
  EXPECT_EQ(second.get(), fd);
  {
    FileDescriptor third;
    third = std::move(second);
    EXPECT_NE(fcntl(fd, F_GETFD), -1);
  }
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
}

TEST(PathTest, RelativePathsCannotClimb) {
  for (const char* path : {"a", "a/b", "a..b", "...", "a/.hidden"}) {
    EXPECT_TRUE(CheckRelativePath(path).ok()) << path;
  }
  for (const char* path :
       {"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "./a"}) {
    EXPECT_FALSE(CheckRelativePath(path).ok()) << path;
  }
  EXPECT_FALSE(CheckRelativePath(absl::string_view("a\0b", 3)).ok());
}

TEST(PathTest, Joins) {
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/", "b"), "a/b");
  EXPECT_EQ(JoinPath("", "b"), "b");
  EXPECT_TRUE(Exists(ExecutableFolder()));
}

}  // namespace
}  // namespace trainyard
