// See folder_writer.h.
#include "common/blob/folder_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/random.h"
#include "common/sha256.h"

namespace trainyard::blob {

absl::StatusOr<FolderWriter> FolderWriter::Open(const std::string& folder) {
  if (auto status = MakeFolders(folder); !status.ok()) return status;
  FolderWriter writer;
  writer.stem_ = HexOf(SecretBytes(8));
  writer.root_ = FileDescriptor(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!writer.root_.valid()) return ErrnoError(errno, "cannot open folder", folder);
  return writer;
}

absl::StatusOr<int> FolderWriter::OpenParent(absl::string_view path, std::string* name) {
  if (auto status = CheckRelativePath(path); !status.ok()) return status;
  std::vector<std::string> parts = absl::StrSplit(path, '/');
  *name = std::move(parts.back());
  parts.pop_back();
  size_t shared = 0;
  while (shared < parts.size() && shared < open_.size() && open_[shared].first == parts[shared]) {
    ++shared;
  }
  while (open_.size() > shared) open_.pop_back();
  for (size_t i = shared; i < parts.size(); ++i) {
    const int above = open_.empty() ? root_.get() : open_.back().second.get();
    if (mkdirat(above, parts[i].c_str(), 0755) != 0 && errno != EEXIST) {
      return ErrnoError(errno, "cannot make folder for", path);
    }
    FileDescriptor fd(
        openat(above, parts[i].c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid()) return ErrnoError(errno, "cannot enter a folder of", path);
    open_.emplace_back(std::move(parts[i]), std::move(fd));
  }
  return open_.empty() ? root_.get() : open_.back().second.get();
}

std::string FolderWriter::TemporaryName() {
  return absl::StrCat(".trainyard-", stem_, "-", next_temporary_++, ".part");
}

absl::Status FolderWriter::PutFile(absl::string_view path, mode_t mode,
                                   const std::function<absl::Status(int fd)>& fill) {
  std::string name;
  const auto parent = OpenParent(path, &name);
  if (!parent.ok()) return parent.status();
  const std::string temporary = TemporaryName();
  FileDescriptor fd(
      openat(*parent, temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoError(errno, "cannot create", path);
  absl::Status status = fill(fd.get());
  if (status.ok() && fchmod(fd.get(), mode & 0777) != 0) {
    status = ErrnoError(errno, "cannot set the mode of", path);
  }
  if (status.ok() && renameat(*parent, temporary.c_str(), *parent, name.c_str()) != 0) {
    status = ErrnoError(errno, "cannot put", path);
  }
  if (!status.ok()) unlinkat(*parent, temporary.c_str(), 0);
  return status;
}

absl::Status FolderWriter::PutLink(absl::string_view path, absl::string_view target) {
  std::string name;
  const auto parent = OpenParent(path, &name);
  if (!parent.ok()) return parent.status();
  const std::string temporary = TemporaryName();
  if (symlinkat(std::string(target).c_str(), *parent, temporary.c_str()) != 0) {
    return ErrnoError(errno, "cannot make link", path);
  }
  if (renameat(*parent, temporary.c_str(), *parent, name.c_str()) != 0) {
    const absl::Status status = ErrnoError(errno, "cannot put link", path);
    unlinkat(*parent, temporary.c_str(), 0);
    return status;
  }
  return absl::OkStatus();
}

absl::Status FolderWriter::PutFolder(absl::string_view path) {
  std::string name;
  return OpenParent(absl::StrCat(path, "/x"), &name).status();
}

}  // namespace trainyard::blob
