// Writing below one folder and nowhere else.
#include "common/blob/folder_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

namespace trainyard::blob {
namespace {

namespace fs = std::filesystem;

class FolderWriterTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/folder_writer.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { ASSERT_TRUE(RemoveTree(folder_).ok()); }
  static auto Fill(const std::string& text) {
    return [text](int fd) { return WriteAll(fd, text); };
  }
  std::string folder_;
};

TEST_F(FolderWriterTest, WritesWithModeInAnyOrderOfFolders) {
  auto writer = FolderWriter::Open(folder_ + "/new");
  ASSERT_TRUE(writer.ok());
  for (const char* path : {"a/b/c", "a/d", "e", "a/b/f", "g/b/c"}) {
    ASSERT_TRUE(writer->PutFile(path, 0750, Fill(path)).ok()) << path;
    EXPECT_EQ(*ReadFile(folder_ + "/new/" + path), path);
    struct stat info {};
    ASSERT_EQ(stat((folder_ + "/new/" + path).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0750u);
  }
}

TEST_F(FolderWriterTest, SetuidIsNeverSet) {
  auto writer = FolderWriter::Open(folder_);
  ASSERT_TRUE(writer->PutFile("x", 06755, Fill("x")).ok());
  struct stat info {};
  ASSERT_EQ(stat((folder_ + "/x").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755u);
}

TEST_F(FolderWriterTest, FailedFillLeavesTheOldFile) {
  auto writer = FolderWriter::Open(folder_);
  ASSERT_TRUE(writer->PutFile("x", 0644, Fill("old")).ok());
  EXPECT_FALSE(writer->PutFile("x", 0644, [](int) { return absl::InternalError("no"); }).ok());
  EXPECT_EQ(*ReadFile(folder_ + "/x"), "old");
  EXPECT_EQ(ListFolder(folder_)->size(), 1u);
}

TEST_F(FolderWriterTest, PathsThatLeaveAreRefused) {
  auto writer = FolderWriter::Open(folder_ + "/in");
  for (const char* path : {"../x", "/x", "a/../../x", "", ".", "a//b", "a/."}) {
    EXPECT_FALSE(writer->PutFile(path, 0644, Fill("x")).ok()) << path;
    EXPECT_FALSE(writer->PutLink(path, "y").ok()) << path;
  }
  EXPECT_FALSE(Exists(folder_ + "/x"));
}

TEST_F(FolderWriterTest, FoldersThatAreLinksAreNotEntered) {
  auto writer = FolderWriter::Open(folder_ + "/in");
  fs::create_directory(folder_ + "/outside");
  fs::create_symlink(folder_ + "/outside", folder_ + "/in/sub");
  EXPECT_FALSE(writer->PutFile("sub/x", 0644, Fill("x")).ok());
  EXPECT_THAT(*ListFolder(folder_ + "/outside"), testing::IsEmpty());
}

TEST_F(FolderWriterTest, OwnLinkIsNotEnteredEither) {
  auto writer = FolderWriter::Open(folder_);
  ASSERT_TRUE(writer->PutLink("sub", "/tmp").ok());
  EXPECT_FALSE(writer->PutFile("sub/trainyard-folder-writer-test", 0644, Fill("x")).ok());
  EXPECT_FALSE(Exists("/tmp/trainyard-folder-writer-test"));
}

}  // namespace
}  // namespace trainyard::blob
