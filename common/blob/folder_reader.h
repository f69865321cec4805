// Reads a folder component by component below a directory handle, so that a link put in the way
// while we look is met, not followed. One object or call per thread.
#ifndef TRAINYARD_COMMON_BLOB_FOLDER_READER_H_
#define TRAINYARD_COMMON_BLOB_FOLDER_READER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/blob/blob.h"
#include "common/file.h"

namespace trainyard::blob {

// Digest of what is left to read of `fd`; `path` is for messages.
absl::StatusOr<FileDigest> DigestOfFd(int fd, const std::string& path);

// A tree with the chunks of every entry (empty for links), in the same order.
struct ScannedTree {
  v1::Tree tree;
  std::vector<std::vector<std::string>> chunks;
};
absl::StatusOr<ScannedTree> ScanFolder(const std::string& folder, const TreeOptions& options);

// "" when the target of a link at `path` stays inside the tree whatever its other links say, else
// what is wrong with it ("is a link ...").
std::string LinkFault(absl::string_view path, absl::string_view target);

// Opens the regular file `path` (relative) below `folder` for reading; follows no link below it.
absl::StatusOr<FileDescriptor> OpenBelow(const std::string& folder, absl::string_view path);

}  // namespace trainyard::blob

#endif  // TRAINYARD_COMMON_BLOB_FOLDER_READER_H_
