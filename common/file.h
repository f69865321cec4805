// Files, with absl::Status and the durability each call promises. Thread-safe. Paths are our own,
// never a client's.
#ifndef TRAINYARD_COMMON_FILE_H_
#define TRAINYARD_COMMON_FILE_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace trainyard {

// Owns a file descriptor; closes it.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.Release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release();

 private:
  int fd_ = -1;
};

// absl::Status of errno with "what path: message".
absl::Status ErrnoError(int error, absl::string_view what, absl::string_view path = "");

absl::StatusOr<std::string> ReadFile(const std::string& path);
// Replaces `path` whole: temporary file, fsync, rename, fsync of the folder. Durable when OK.
absl::Status WriteFileDurably(const std::string& path, absl::string_view bytes, mode_t mode = 0644);
// Replaces `path` by rename without fsync: readers never see half, a power cut may lose it.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view bytes,
                                 mode_t mode = 0644);
absl::Status WriteAll(int fd, absl::string_view bytes);
absl::Status FsyncFolder(const std::string& path);
// mkdir -p with `mode` for what is made.
absl::Status MakeFolders(const std::string& path, mode_t mode = 0755);
// Removes a tree; follows no symbolic link. Absent is OK.
absl::Status RemoveTree(const std::string& path);
bool Exists(const std::string& path);
// Names (not paths) in a folder, sorted, without "." and "..".
absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& path);
// "a/b": joins with one slash.
std::string JoinPath(absl::string_view a, absl::string_view b);
// OK when `relative` is a non-empty path without empty, "." or ".." components and not absolute:
// safe to join.
absl::Status CheckRelativePath(absl::string_view relative);
// Folder of the running executable.
std::string ExecutableFolder();

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_FILE_H_
