// Honest archives unpack; limits and refusals are told by name and leave nothing behind.
#include "common/archive/archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/errors.h"
#include "common/file.h"
#include "tests/common/archive/test_archive.h"

namespace trainyard::archive {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr unsigned kFile = S_IFREG, kFolder = S_IFDIR, kLink = S_IFLNK;

class ArchiveTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/archive_test.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { ASSERT_TRUE(RemoveTree(folder_).ok()); }
  absl::StatusOr<Unpacked> Unpack(const std::vector<TestEntry>& entries,
                                  TestFormat format = TestFormat::kTarGz,
                                  const UnpackOptions& options = {}) {
    EXPECT_TRUE(WriteTestArchive(folder_ + "/in", format, entries));
    EXPECT_TRUE(RemoveTree(folder_ + "/out").ok());
    return UnpackArchive(folder_ + "/in", folder_ + "/out", options);
  }
  unsigned Mode(const std::string& name) const {
    struct stat info {};
    EXPECT_EQ(lstat((folder_ + "/out/" + name).c_str(), &info), 0) << name;
    return info.st_mode & 07777;
  }
  std::string folder_;
};

TEST_F(ArchiveTest, EveryFormatUnpacks) {
  for (const TestFormat format : {TestFormat::kTarGz, TestFormat::kTar, TestFormat::kZip}) {
    const auto done = Unpack({{"pkg/", "", kFolder, 0755, "", ""},
                              {"pkg/task.py", "print(1)\n", kFile, 0644, "", ""},
                              {"pkg/deep/run.sh", "#!/bin/sh\n", kFile, 0700, "", ""},
                              {"pkg/empty", "", kFile, 0644, "", ""},
                              {"pkg/link", "", kLink, 0777, "deep/run.sh", ""}},
                             format);
    ASSERT_TRUE(done.ok()) << done.status();
    EXPECT_EQ(done->entries, 4);
    EXPECT_EQ(done->bytes, 19);
    EXPECT_EQ(*ReadFile(folder_ + "/out/pkg/task.py"), "print(1)\n");
    EXPECT_EQ(*ReadFile(folder_ + "/out/pkg/link"), "#!/bin/sh\n");
    EXPECT_EQ(Mode("pkg/task.py"), 0644u);
    EXPECT_EQ(Mode("pkg/deep/run.sh"), 0755u);
  }
}

TEST_F(ArchiveTest, LeadingDotsOfTarAreTakenOff) {
  ASSERT_TRUE(Unpack({{"./", "", kFolder, 0755, "", ""},
                      {"./a/", "", kFolder, 0755, "", ""},
                      {"./a/b", "x", kFile, 0644, "", ""},
                      {"./a/", "", kFolder, 0755, "", ""}})
                  .ok());
  EXPECT_EQ(*ReadFile(folder_ + "/out/a/b"), "x");
}

TEST_F(ArchiveTest, NamesBeyondAsciiAreKept) {
  ASSERT_TRUE(Unpack({{"gr\xc3\xbc\xc3\x9f"
                       "e.py",
                       "x", kFile, 0644, "", ""}})
                  .ok());
  EXPECT_EQ(*ReadFile(folder_ + "/out/gr\xc3\xbc\xc3\x9f"
                                "e.py"),
            "x");
}

struct Bad {
  const char* name;
  std::vector<TestEntry> entries;
};

TEST_F(ArchiveTest, BadEntriesAreRefusedByNameAndNothingStays) {
  const std::vector<Bad> rows = {
      {"absolute", {{"/tmp/trainyard-evil", "x", kFile, 0644, "", ""}}},
      {"parent", {{"../evil", "x", kFile, 0644, "", ""}}},
      {"parent inside", {{"a/../../evil", "x", kFile, 0644, "", ""}}},
      {"dot inside", {{"a/./evil", "x", kFile, 0644, "", ""}}},
      {"empty part", {{"a//evil", "x", kFile, 0644, "", ""}}},
      {"folder out", {{"../evil/", "", kFolder, 0755, "", ""}}},
      {"absolute folder", {{"/evil/", "", kFolder, 0755, "", ""}}},
      {"root folder", {{"/", "", kFolder, 0755, "", ""}}},
      {"twice", {{"evil", "x", kFile, 0644, "", ""}, {"evil", "y", kFile, 0644, "", ""}}},
      {"twice, once dotted",
       {{"evil", "x", kFile, 0644, "", ""}, {"./evil", "y", kFile, 0644, "", ""}}},
      {"below a file", {{"a", "x", kFile, 0644, "", ""}, {"a/evil", "y", kFile, 0644, "", ""}}},
      {"file over a folder",
       {{"a/evil", "x", kFile, 0644, "", ""}, {"a", "y", kFile, 0644, "", ""}}},
      {"folder over a file",
       {{"evil", "x", kFile, 0644, "", ""}, {"evil/", "", kFolder, 0755, "", ""}}},
      {"link out", {{"evil", "", kLink, 0777, "../../etc", ""}}},
      {"link absolute", {{"evil", "", kLink, 0777, "/etc/passwd", ""}}},
      {"link up after a name", {{"evil", "", kLink, 0777, "a/../..", ""}}},
      {"file through a link",
       {{"evil", "", kLink, 0777, "b", ""}, {"evil/x", "x", kFile, 0644, "", ""}}},
      {"file over a link",
       {{"evil", "", kLink, 0777, "b", ""}, {"evil", "x", kFile, 0644, "", ""}}},
      {"hard link", {{"a", "x", kFile, 0644, "", ""}, {"evil", "", kFile, 0644, "", "a"}}},
      {"hard link out", {{"evil", "", kFile, 0644, "", "/etc/passwd"}}},
      {"character device", {{"evil", "", S_IFCHR, 0644, "", ""}}},
      {"block device", {{"evil", "", S_IFBLK, 0644, "", ""}}},
      {"pipe", {{"evil", "", S_IFIFO, 0644, "", ""}}},
      {"setuid", {{"evil", "x", kFile, 04755, "", ""}}},
      {"setgid", {{"evil", "x", kFile, 02755, "", ""}}},
  };
  for (const Bad& row : rows) {
    std::vector<TestEntry> entries = {{"innocent", "x", kFile, 0644, "", ""}};
    entries.insert(entries.end(), row.entries.begin(), row.entries.end());
    const auto status = Unpack(entries).status();
    EXPECT_EQ(ReasonOf(status), "PACKAGE_INVALID") << row.name << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("entry \"")) << row.name;
    EXPECT_THAT(*ListFolder(folder_), testing::ElementsAre("in")) << row.name;
  }
  EXPECT_FALSE(Exists("/tmp/trainyard-evil"));
}

TEST_F(ArchiveTest, LimitsHold) {
  const std::vector<TestEntry> two = {{"a", std::string(600, 'x'), kFile, 0644, "", ""},
                                      {"b", std::string(600, 'x'), kFile, 0644, "", ""}};
  UnpackOptions options;
  options.entries_max = 2;
  options.bytes_max = 1200;
  EXPECT_TRUE(Unpack(two, TestFormat::kZip, options).ok());
  options.bytes_max = 1199;
  EXPECT_THAT(std::string(Unpack(two, TestFormat::kZip, options).status().message()),
              HasSubstr("more than 1199 bytes"));
  options.bytes_max = 1200;
  options.entries_max = 1;
  EXPECT_THAT(std::string(Unpack(two, TestFormat::kZip, options).status().message()),
              HasSubstr("more than 1 entries"));
}

TEST_F(ArchiveTest, BombsAreFoundByTheirRatio) {
  for (const TestFormat format : {TestFormat::kTarGz, TestFormat::kZip}) {
    const auto bomb = Unpack({{"zeros", std::string(40 << 20, '\0'), kFile, 0644, "", ""}}, format);
    EXPECT_THAT(std::string(bomb.status().message()), HasSubstr("200 times its own size"));
    EXPECT_FALSE(Exists(folder_ + "/out"));
  }
  // A small file may be as repetitive as it likes.
  EXPECT_TRUE(Unpack({{"zeros", std::string(1 << 20, '\0'), kFile, 0644, "", ""}}).ok());
}

TEST_F(ArchiveTest, WhatIsNoArchiveIsToldSo) {
  for (const std::string& bytes : {std::string(), std::string("#!/bin/sh\necho hello\n"),
                                   std::string("PK\3\4nonsense"), std::string(5000, '\x1f')}) {
    std::ofstream(folder_ + "/in", std::ios::binary) << bytes;
    const auto status = UnpackArchive(folder_ + "/in", folder_ + "/out").status();
    EXPECT_EQ(ReasonOf(status), "PACKAGE_INVALID") << status;
    EXPECT_FALSE(Exists(folder_ + "/out"));
  }
  EXPECT_EQ(ReasonOf(UnpackArchive(folder_ + "/absent", folder_ + "/out").status()),
            "PACKAGE_NOT_FOUND");
  EXPECT_EQ(ReasonOf(UnpackArchive(folder_, folder_ + "/out").status()), "PACKAGE_INVALID");
}

TEST_F(ArchiveTest, ArchiveCutShortIsRefused) {
  std::string noise;
  for (uint32_t i = 0; i < 20000; ++i) noise += static_cast<char>(i * i * 31 + i / 7);
  ASSERT_TRUE(Unpack({{"a", noise, kFile, 0644, "", ""}}).ok());
  fs::resize_file(folder_ + "/in", fs::file_size(folder_ + "/in") / 2);
  EXPECT_FALSE(UnpackArchive(folder_ + "/in", folder_ + "/out2").ok());
  EXPECT_FALSE(Exists(folder_ + "/out2"));
}

TEST_F(ArchiveTest, FolderThatIsThereIsLeftAlone) {
  fs::create_directory(folder_ + "/out");
  ASSERT_TRUE(
      WriteTestArchive(folder_ + "/in", TestFormat::kZip, {{"a", "x", kFile, 0644, "", ""}}));
  EXPECT_TRUE(absl::IsAlreadyExists(UnpackArchive(folder_ + "/in", folder_ + "/out").status()));
  EXPECT_THAT(*ListFolder(folder_ + "/out"), IsEmpty());
}

}  // namespace
}  // namespace trainyard::archive
