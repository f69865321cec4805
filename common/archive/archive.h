// Unpacks a package that somebody else made: *.tar.gz, *.tgz, *.tar, *.zip, *.whl. The archive is
// not trusted: what could write outside the folder, or more than is allowed, is refused by name.
// Thread-safe; the reading is libarchive's, the writing is ours, component by component.
#ifndef TRAINYARD_COMMON_ARCHIVE_ARCHIVE_H_
#define TRAINYARD_COMMON_ARCHIVE_ARCHIVE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace trainyard::archive {

struct UnpackOptions {
  int64_t entries_max = 100000;
  int64_t bytes_max = int64_t{4} << 30;  // unpacked
  int64_t ratio_max = 200;               // unpacked to packed bytes, counted beyond the first MiB
};
struct Unpacked {
  int64_t entries = 0;  // files and links
  int64_t bytes = 0;
};

// Unpacks the file `archive` into `folder`, which must not exist and appears whole or not at all.
// Refused (PACKAGE_INVALID): absolute names, "..", links out of the folder, hard links, devices,
// pipes, setuid and setgid files, names that come twice, files below files or links, encrypted
// entries, more entries or bytes or a higher ratio than `options` allow, and what is no archive.
// Files get mode 0755 when they may be executed by somebody, else 0644. NOT_FOUND
// (PACKAGE_NOT_FOUND): there is no such file. ALREADY_EXISTS: `folder` is there.
absl::StatusOr<Unpacked> UnpackArchive(const std::string& archive, const std::string& folder,
                                       const UnpackOptions& options = {});

}  // namespace trainyard::archive

#endif  // TRAINYARD_COMMON_ARCHIVE_ARCHIVE_H_
