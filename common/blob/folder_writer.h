// Writes files and links below one folder, component by component, following no link: whoever can
// write into the folder meanwhile cannot lead us out of it. A file appears whole, by rename, with
// its final mode. One thread at a time.
#ifndef TRAINYARD_COMMON_BLOB_FOLDER_WRITER_H_
#define TRAINYARD_COMMON_BLOB_FOLDER_WRITER_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/file.h"

namespace trainyard::blob {

class FolderWriter {
 public:
  // Makes `folder` if it is absent.
  static absl::StatusOr<FolderWriter> Open(const std::string& folder);

  // Calls `fill` with a descriptor of a new file and puts it at `path` (relative, checked) when it
  // returns OK; leaves nothing behind otherwise. `mode`: permission bits.
  absl::Status PutFile(absl::string_view path, mode_t mode,
                       const std::function<absl::Status(int fd)>& fill);
  // A symbolic link; the caller has checked that it stays inside.
  absl::Status PutLink(absl::string_view path, absl::string_view target);
  // Makes a folder and those above it.
  absl::Status PutFolder(absl::string_view path);

 private:
  FolderWriter() = default;
  // Handle of the folder that holds `path`, made on the way; `name` gets the last component.
  absl::StatusOr<int> OpenParent(absl::string_view path, std::string* name);
  std::string TemporaryName();

  FileDescriptor root_;
  // Open folders from the root down to the last one used.
  std::vector<std::pair<std::string, FileDescriptor>> open_;
  std::string stem_;  // of temporary names; secret, so that no tree holds one
  uint64_t next_temporary_ = 0;
};

}  // namespace trainyard::blob

#endif  // TRAINYARD_COMMON_BLOB_FOLDER_WRITER_H_
