// Thousands of random hostile archives, and honest ones with bytes changed: whatever comes of them,
// nothing is written outside the folder, no device or setuid file is made, and no link leaves.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/archive/archive.h"
#include "common/file.h"
#include "common/random.h"
#include "tests/common/archive/test_archive.h"

namespace trainyard::archive {
namespace {

namespace fs = std::filesystem;

class HostileArchiveTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/archive_hostile.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = fs::canonical(pattern);
    fs::create_directories(folder_ + "/outer/inner");
    std::ofstream(folder_ + "/outer/canary") << "alive";
  }
  void TearDown() override { ASSERT_TRUE(RemoveTree(folder_).ok()); }

  // Unpacks, looks at the result, and removes it; true when it was accepted.
  bool UnpackAndLook(uint64_t seed) {
    const std::string out = folder_ + "/outer/inner/out";
    const bool accepted = UnpackArchive(folder_ + "/in", out).ok();
    EXPECT_EQ(accepted, Exists(out)) << "seed " << seed;
    EXPECT_EQ(*ReadFile(folder_ + "/outer/canary"), "alive") << "seed " << seed;
    EXPECT_EQ(ListFolder(folder_ + "/outer")->size(), 2u) << "seed " << seed;
    EXPECT_EQ(ListFolder(folder_ + "/outer/inner")->size(), accepted ? 1u : 0u) << "seed " << seed;
    EXPECT_EQ(ListFolder(folder_)->size(), 2u) << "seed " << seed;
    if (accepted) Look(out, seed);
    EXPECT_TRUE(RemoveTree(out).ok());
    return accepted;
  }

  static void Look(const std::string& out, uint64_t seed) {
    for (const auto& entry : fs::recursive_directory_iterator(out)) {
      struct stat info {};
      ASSERT_EQ(lstat(entry.path().c_str(), &info), 0);
      EXPECT_TRUE(S_ISREG(info.st_mode) || S_ISDIR(info.st_mode) || S_ISLNK(info.st_mode))
          << "seed " << seed;
      EXPECT_EQ(info.st_mode & 07000, 0u) << "seed " << seed << " " << entry.path();
      if (!S_ISLNK(info.st_mode)) continue;
      std::error_code error;
      const std::string target = fs::weakly_canonical(entry.path(), error).string();
      if (error) continue;  // a loop leads nowhere
      EXPECT_TRUE(target == out || target.rfind(out + "/", 0) == 0)
          << "seed " << seed << " " << entry.path() << " leads to " << target;
    }
  }
  std::string folder_;
};

// TRAINYARD_SEEDS in the environment walks more of them.
uint64_t Seeds(uint64_t usual) {
  const char* const text = getenv("TRAINYARD_SEEDS");
  return text == nullptr ? usual : strtoull(text, nullptr, 10);
}

std::string AnyName(Random* random) {
  static const char* const kParts[] = {"a", "b", "c", "..", ".", "", "a b", "..."};
  std::string name = random->Below(15) == 0 ? "/" : "";
  for (uint64_t parts = random->Below(3) + 1; parts > 0; --parts) {
    // Mostly harmless: else all would be refused at their first entry.
    const uint64_t choice =
        random->Below(12) == 0 ? random->Below(std::size(kParts)) : random->Below(3);
    absl::StrAppend(&name, kParts[choice], parts > 1 ? "/" : "");
  }
  return name.empty() ? "x" : name;
}

std::string AnyTarget(Random* random) {
  static const char* const kParts[] = {"a", "b", "c", ".."};
  std::string target = random->Below(20) == 0 ? "/" : "";
  for (uint64_t parts = random->Below(4) + 1; parts > 0; --parts) {
    absl::StrAppend(&target, kParts[random->Below(4)], parts > 1 ? "/" : "");
  }
  return target;
}

TestEntry AnyEntry(Random* random) {
  TestEntry entry;
  entry.name = AnyName(random);
  switch (random->Below(40)) {
    case 0:
      entry.type = S_IFCHR;
      break;
    case 1:
      entry.type = S_IFIFO;
      break;
    case 2:
      entry.hardlink = AnyTarget(random);
      break;
    case 3:
      entry.mode = 06755;
      break;
    default:
      if (random->Below(3) == 0) {
        entry.type = S_IFLNK;
        entry.link = AnyTarget(random);
      } else if (random->Below(3) == 0) {
        entry.type = S_IFDIR;
        entry.mode = 0755;
      } else {
        entry.content = std::string(random->Below(30), 'x');
      }
  }
  return entry;
}

TEST_F(HostileArchiveTest, RandomArchivesStayInside) {
  uint64_t accepted = 0;
  const uint64_t seeds = Seeds(1500);
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    Random random(seed);
    std::vector<TestEntry> entries(random.Below(4) + 1);
    for (TestEntry& entry : entries) entry = AnyEntry(&random);
    const auto format = random.Below(2) == 0 ? TestFormat::kTar : TestFormat::kZip;
    if (!WriteTestArchive(folder_ + "/in", format, entries)) continue;
    accepted += UnpackAndLook(seed);
    if (HasFailure()) return;
  }
  // The walk is worth something only if both happen often.
  EXPECT_GT(accepted, seeds / 10);
  EXPECT_LT(accepted, seeds - seeds / 10);
}

TEST_F(HostileArchiveTest, ChangedBytesStayInside) {
  const std::vector<TestEntry> honest = {{"pkg/a.py", std::string(300, 'a'), S_IFREG, 0644, "", ""},
                                         {"pkg/b", "", S_IFLNK, 0777, "a.py", ""},
                                         {"pkg/c/d.py", "d", S_IFREG, 0755, "", ""}};
  for (const TestFormat format : {TestFormat::kTar, TestFormat::kTarGz, TestFormat::kZip}) {
    ASSERT_TRUE(WriteTestArchive(folder_ + "/in", format, honest));
    const std::string bytes = *ReadFile(folder_ + "/in");
    for (uint64_t seed = 1; seed <= Seeds(300); ++seed) {
      Random random(seed);
      std::string changed = bytes;
      for (uint64_t flips = random.Below(8) + 1; flips > 0; --flips) {
        changed[random.Below(changed.size())] = static_cast<char>(random.Next());
      }
      if (random.Below(5) == 0) changed.resize(random.Below(changed.size()));
      std::ofstream(folder_ + "/in", std::ios::binary) << changed;
      UnpackAndLook(seed);
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace trainyard::archive
