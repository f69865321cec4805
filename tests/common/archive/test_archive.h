// Archives as a test wants them, also such as no honest program makes.
#ifndef TRAINYARD_TESTS_COMMON_ARCHIVE_TEST_ARCHIVE_H_
#define TRAINYARD_TESTS_COMMON_ARCHIVE_TEST_ARCHIVE_H_

#include <string>
#include <vector>

namespace trainyard::archive {

struct TestEntry {
  std::string name;
  std::string content;
  unsigned type = 0100000;  // S_IFREG and friends
  unsigned mode = 0644;
  std::string link;      // target of a symbolic link
  std::string hardlink;  // name of another entry
};

enum class TestFormat { kTarGz, kTar, kZip };

// False when libarchive does not write it.
bool WriteTestArchive(const std::string& path, TestFormat format,
                      const std::vector<TestEntry>& entries);

}  // namespace trainyard::archive

#endif  // TRAINYARD_TESTS_COMMON_ARCHIVE_TEST_ARCHIVE_H_
