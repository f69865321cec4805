// See file.h.
#include "common/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/fault_point.h"

namespace trainyard {
namespace {

absl::StatusCode CodeOfErrno(int error) {
  switch (error) {
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EACCES:
    case EPERM:
      return absl::StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::Status Replace(const std::string& path, absl::string_view bytes, mode_t mode, bool durable) {
  const std::string temporary = absl::StrCat(path, ".tmp.", getpid());
  FileDescriptor file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!file.valid()) return ErrnoError(errno, "cannot create", temporary);
  absl::Status status = WriteAll(file.get(), bytes);
  if (status.ok() && durable && fsync(file.get()) != 0) {
    status = ErrnoError(errno, "cannot sync", temporary);
  }
  TRAINYARD_FAULT_POINT("file.before_rename");
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    status = ErrnoError(errno, "cannot rename to", path);
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  if (!durable) return absl::OkStatus();
  return FsyncFolder(std::filesystem::path(path).parent_path().string());
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    fd_ = other.Release();
  }
  return *this;
}
FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) close(fd_);
}
int FileDescriptor::Release() { return std::exchange(fd_, -1); }

absl::Status ErrnoError(int error, absl::string_view what, absl::string_view path) {
  return absl::Status(CodeOfErrno(error), absl::StrCat(what, path.empty() ? "" : " ", path, ": ",
                                                       std::system_category().message(error)));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoError(errno, "cannot open", path);
  std::string out;
  struct stat info {};
  // Without it a large file is copied each time that the text outgrows its place.
  if (fstat(file.get(), &info) == 0 && S_ISREG(info.st_mode))
    out.reserve(static_cast<size_t>(info.st_size));
  char buffer[65536];
  for (;;) {
    const ssize_t n = read(file.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "cannot read", path);
    if (n == 0) return out;
    out.append(buffer, static_cast<size_t>(n));
  }
}

absl::Status WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "cannot write");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status WriteFileDurably(const std::string& path, absl::string_view bytes, mode_t mode) {
  return Replace(path, bytes, mode, true);
}
absl::Status WriteFileAtomically(const std::string& path, absl::string_view bytes, mode_t mode) {
  return Replace(path, bytes, mode, false);
}

absl::Status FsyncFolder(const std::string& path) {
  const std::string folder = path.empty() ? "." : path;
  FileDescriptor fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "cannot open", folder);
  if (fsync(fd.get()) != 0) return ErrnoError(errno, "cannot sync", folder);
  return absl::OkStatus();
}

absl::Status MakeFolders(const std::string& path, mode_t mode) {
  std::string so_far = path.substr(0, path.starts_with("/") ? 1 : 0);
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    absl::StrAppend(&so_far, part, "/");
    if (mkdir(so_far.c_str(), mode) != 0 && errno != EEXIST) {
      return ErrnoError(errno, "cannot make folder", so_far);
    }
  }
  return absl::OkStatus();
}

absl::Status RemoveTree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return ErrnoError(error.value(), "cannot remove", path);
  return absl::OkStatus();
}

bool Exists(const std::string& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0;
}

absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& path) {
  DIR* const folder = opendir(path.c_str());
  if (folder == nullptr) return ErrnoError(errno, "cannot list", path);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(folder)) {
    const absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  closedir(folder);
  std::sort(names.begin(), names.end());
  return names;
}

std::string JoinPath(absl::string_view a, absl::string_view b) {
  if (a.empty()) return std::string(b);
  return absl::StrCat(a, a.back() == '/' ? "" : "/", b);
}

absl::Status CheckRelativePath(absl::string_view relative) {
  if (relative.empty() || relative.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError("empty path or zero byte in it");
  }
  for (absl::string_view part : absl::StrSplit(relative, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return absl::InvalidArgumentError(
          absl::StrCat("path \"", relative, "\" is absolute or has an empty, . or .. component"));
    }
  }
  return absl::OkStatus();
}

std::string ExecutableFolder() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string(".") : path.parent_path().string();
}

}  // namespace trainyard
