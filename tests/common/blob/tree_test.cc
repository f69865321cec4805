// Trees of folders, and the rules a tree must keep.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/blob/blob.h"
#include "common/file.h"
#include "common/sha256.h"
#include "common/utf8.h"

namespace trainyard::blob {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class TreeTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/tree_test.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { ASSERT_TRUE(RemoveTree(folder_).ok()); }
  void Write(const std::string& name, const std::string& bytes) {
    fs::create_directories(fs::path(folder_ + "/" + name).parent_path());
    std::ofstream(folder_ + "/" + name) << bytes;
  }
  std::string Refusal(const TreeOptions& options = {}) {
    return std::string(TreeOfFolder(folder_, options).status().message());
  }
  static TreeOptions Options(int64_t entries_max, int64_t bytes_max) {
    TreeOptions options;
    options.entries_max = entries_max;
    options.bytes_max = bytes_max;
    return options;
  }
  std::string folder_;
};

TEST_F(TreeTest, SortedByWholePath) {
  Write("a/x", "1");
  Write("a-b", "2");
  Write("b", "3");
  const auto tree = TreeOfFolder(folder_, {});
  ASSERT_TRUE(tree.ok()) << tree.status();
  std::vector<std::string> paths;
  for (const auto& entry : tree->entries()) paths.push_back(entry.path());
  EXPECT_THAT(paths, testing::ElementsAre("a-b", "a/x", "b"));
  EXPECT_TRUE(CheckTree(*tree).ok());
  EXPECT_EQ(tree->entries(1).digest(), DigestOfBytes("1").digest);
}

TEST_F(TreeTest, ModesLoseAllButPermissions) {
  Write("tool", "x");
  ASSERT_EQ(chmod((folder_ + "/tool").c_str(), 04755), 0);
  EXPECT_EQ(TreeOfFolder(folder_, {})->entries(0).mode(), 0755u);
}

TEST_F(TreeTest, ExcludedNamesAreLeftOutAtEveryDepth) {
  Write("a/.git/config", "x");
  Write(".git", "x");
  Write("a/keep", "x");
  TreeOptions options;
  options.exclude = {".git"};
  EXPECT_EQ(TreeOfFolder(folder_, options)->entries_size(), 1);
}

TEST_F(TreeTest, OnlyNamesTheTopAlone) {
  Write("trainer/task.py", "x");
  Write("data/trainer/y", "x");
  Write("setup.py", "x");
  TreeOptions options;
  options.only = {"trainer"};
  const auto tree = TreeOfFolder(folder_, options);
  ASSERT_EQ(tree->entries_size(), 1);
  EXPECT_EQ(tree->entries(0).path(), "trainer/task.py");
}

TEST_F(TreeTest, LinksThatLeaveAreNamed) {
  for (const char* target : {"/etc/passwd", "../x", "a/../b", "b/../../x"}) {
    fs::create_symlink(target, folder_ + "/bad");
    EXPECT_THAT(Refusal(), HasSubstr("\"bad\"")) << target;
    fs::remove(folder_ + "/bad");
  }
  fs::create_directory(folder_ + "/d");
  fs::create_symlink("../d/x", folder_ + "/d/good");
  EXPECT_TRUE(TreeOfFolder(folder_, {}).ok());
}

TEST_F(TreeTest, PipesAreNamed) {
  ASSERT_EQ(mkfifo((folder_ + "/pipe").c_str(), 0600), 0);
  EXPECT_THAT(Refusal(), HasSubstr("\"pipe\" is no regular file"));
}

TEST_F(TreeTest, NamesThatAreNoTextAreNamed) {
  Write("bad\xff", "x");
  EXPECT_THAT(Refusal(), HasSubstr("\"bad\\xff\" has a name that is not UTF-8"));
}

TEST_F(TreeTest, WhatCannotTravelIsLeftOutWhereThatIsAskedFor) {
  Write("train.py", "x");
  Write("bad\xff", "x");
  ASSERT_EQ(mkfifo((folder_ + "/pipe").c_str(), 0600), 0);
  fs::create_symlink("/data", folder_ + "/data");
  fs::create_directories(folder_ + "/env/bin");
  Write("env/pyvenv.cfg", "home = /usr/bin");
  fs::create_symlink("/usr/bin/python3", folder_ + "/env/bin/python");
  std::vector<std::string> left_out;
  TreeOptions options;
  options.left_out = &left_out;
  const auto tree = TreeOfFolder(folder_, options);
  ASSERT_TRUE(tree.ok()) << tree.status();
  ASSERT_EQ(tree->entries_size(), 1);
  EXPECT_EQ(tree->entries(0).path(), "train.py");
  EXPECT_THAT(left_out,
              testing::UnorderedElementsAre("\"bad\\xff\" has a name that is not UTF-8",
                                            "\"pipe\" is no regular file, folder or symbolic link",
                                            "\"data\" is a link to an absolute path: /data",
                                            "\"env\" is a virtual environment"));
}

TEST(Utf8Test, ByTheLetterOfTheLaw) {
  for (const char* good : {"", "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x9a\x82", "\xed\x9f\xbf",
                           "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
  for (const char* bad :
       {"\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xff", "a\xe2\x82", "\xc3\xc3"}) {
    EXPECT_FALSE(IsUtf8(bad));
  }
}

TEST_F(TreeTest, LimitsHold) {
  Write("a", "12345");
  Write("b", "12345");
  EXPECT_TRUE(TreeOfFolder(folder_, Options(2, 10)).ok());
  EXPECT_THAT(Refusal(Options(1, 100)), HasSubstr("more than 1 files"));
  EXPECT_THAT(Refusal(Options(9, 9)), HasSubstr("more than 9 bytes"));
}

TEST_F(TreeTest, AbsentFolderIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(TreeOfFolder(folder_ + "/absent", {}).status()));
}

v1::TreeEntry File(const std::string& path) {
  v1::TreeEntry entry;
  entry.set_path(path);
  entry.set_mode(0644);
  entry.set_digest(std::string(kDigestBytes, 'd'));
  return entry;
}

struct BadEntry {
  const char* name;
  void (*spoil)(v1::TreeEntry*);
};

TEST(CheckTreeTest, EveryRuleIsChecked) {
  const BadEntry rows[] = {
      {"mode beyond permissions", [](v1::TreeEntry* e) { e->set_mode(04755); }},
      {"short digest", [](v1::TreeEntry* e) { e->set_digest("short"); }},
      {"negative size", [](v1::TreeEntry* e) { e->set_size(-1); }},
      {"link and file", [](v1::TreeEntry* e) { e->set_link_target("x"); }},
      {"long name", [](v1::TreeEntry* e) { e->set_path(std::string(256, 'n')); }},
      {"long path",
       [](v1::TreeEntry* e) {
         std::string path = "a";
         while (path.size() < 5000) path += "/a";
         e->set_path(path);
       }},
  };
  v1::Tree good;
  *good.add_entries() = File("file");
  ASSERT_TRUE(CheckTree(good).ok());
  for (const BadEntry& row : rows) {
    v1::Tree tree = good;
    row.spoil(tree.mutable_entries(0));
    EXPECT_TRUE(absl::IsInvalidArgument(CheckTree(tree))) << row.name;
  }
}

TEST(CheckTreeTest, EmptyTreeIsGood) { EXPECT_TRUE(CheckTree(v1::Tree()).ok()); }

}  // namespace
}  // namespace trainyard::blob
