// See copy_folder.h.
#include "worker/agent/copy_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"

namespace trainyard::worker {
namespace {

constexpr int kDepthMax = 200;

absl::StatusOr<std::vector<std::string>> NamesIn(int folder, const std::string& path) {
  const int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const stream = copy < 0 ? nullptr : fdopendir(copy);
  if (stream == nullptr) return ErrnoError(errno, "cannot list", path);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(stream)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  closedir(stream);
  return names;
}

absl::Status CopyBytes(int from, int to, int64_t size, const std::string& path) {
  if (ioctl(to, FICLONE, from) == 0) return absl::OkStatus();
  for (int64_t left = size; left > 0;) {
    const ssize_t moved = sendfile(to, from, nullptr, static_cast<size_t>(left));
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) return ErrnoError(errno, "cannot copy", path);
    if (moved == 0) return absl::DataLossError(absl::StrCat(path, " became shorter meanwhile"));
    left -= moved;
  }
  return absl::OkStatus();
}

class Copier {
 public:
  explicit Copier(const CopyOptions& options, bool link = false) : options_(options), link_(link) {}

  // The contents of one open folder into another; `path` is for messages.
  absl::Status Fill(int from, int to, const std::string& path, int depth) {
    if (depth > kDepthMax) {
      return absl::InvalidArgumentError(absl::StrCat(path, " lies too deep"));
    }
    const absl::StatusOr<std::vector<std::string>> names = NamesIn(from, path);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      const std::string inside = JoinPath(path, name);
      if (absl::Status status = CopyOne(from, to, name, inside, depth); !status.ok()) {
        return status;
      }
    }
    return absl::OkStatus();
  }

  absl::Status GiveAway(int fd, const std::string& path) const {
    if (options_.user_id < 0 || fchown(fd, User(), Group()) == 0) return absl::OkStatus();
    return ErrnoError(errno, "cannot hand over", path);
  }

  // One name of an open folder.
  absl::Status CopyOne(int from, int to, const std::string& name, const std::string& path,
                       int depth) {
    struct stat info {};
    if (fstatat(from, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoError(errno, "cannot look at", path);
    }
    if (S_ISLNK(info.st_mode)) return CopyLink(from, to, name, path);
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " is neither a file, a folder nor a link"));
    }
    const int kind = S_ISDIR(info.st_mode) ? O_DIRECTORY : O_NONBLOCK;
    const FileDescriptor source(
        openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | kind));
    if (!source.valid()) return ErrnoError(errno, "cannot read", path);
    // What was opened decides: the name may mean something else by now.
    if (fstat(source.get(), &info) != 0) return ErrnoError(errno, "cannot look at", path);
    if (options_.from_user >= 0 && info.st_uid != static_cast<uid_t>(options_.from_user) &&
        info.st_uid != geteuid()) {
      return absl::PermissionDeniedError(absl::StrCat(path, " belongs to somebody else"));
    }
    if (S_ISDIR(info.st_mode)) return CopySubfolder(source.get(), to, name, path, depth);
    if (!S_ISREG(info.st_mode)) {
      return absl::InvalidArgumentError(absl::StrCat(path, " is no file any more"));
    }
    return link_ ? LinkFile(from, to, name, path) : CopyFile(source.get(), to, name, path, info);
  }

 private:
  // A name that means another file by now gives a link to that one: no more than its owner could
  // do.
  static absl::Status LinkFile(int from, int to, const std::string& name, const std::string& path) {
    if (linkat(from, name.c_str(), to, name.c_str(), 0) == 0) return absl::OkStatus();
    return ErrnoError(errno, "cannot link", path);
  }

  absl::Status CopyLink(int from, int to, const std::string& name, const std::string& path) {
    std::string target(PATH_MAX, '\0');
    const ssize_t size = readlinkat(from, name.c_str(), target.data(), target.size());
    if (size < 0) return ErrnoError(errno, "cannot read", path);
    target.resize(static_cast<size_t>(size));
    if (symlinkat(target.c_str(), to, name.c_str()) != 0) {
      return ErrnoError(errno, "cannot link", path);
    }
    if (options_.user_id >= 0 &&
        fchownat(to, name.c_str(), User(), Group(), AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoError(errno, "cannot hand over", path);
    }
    return absl::OkStatus();
  }

  absl::Status CopySubfolder(int source, int to, const std::string& name, const std::string& path,
                             int depth) {
    if (mkdirat(to, name.c_str(), 0755) != 0) return ErrnoError(errno, "cannot make", path);
    const FileDescriptor made(
        openat(to, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!made.valid()) return ErrnoError(errno, "cannot open", path);
    if (absl::Status filled = Fill(source, made.get(), path, depth + 1); !filled.ok()) {
      return filled;
    }
    return GiveAway(made.get(), path);
  }

  absl::Status CopyFile(int source, int to, const std::string& name, const std::string& path,
                        const struct stat& info) {
    const mode_t mode = (info.st_mode & 0111) != 0 ? 0755 : 0644;
    const FileDescriptor made(
        openat(to, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!made.valid()) return ErrnoError(errno, "cannot make", path);
    if (absl::Status copied = CopyBytes(source, made.get(), info.st_size, path); !copied.ok()) {
      return copied;
    }
    const timespec times[2] = {info.st_atim, info.st_mtim};
    futimens(made.get(), times);
    return GiveAway(made.get(), path);
  }

  uid_t User() const { return static_cast<uid_t>(options_.user_id); }
  gid_t Group() const { return static_cast<gid_t>(options_.group_id); }

  const CopyOptions& options_;
  const bool link_;
};

absl::StatusOr<FileDescriptor> OpenFolder(int at, const std::string& name) {
  FileDescriptor folder(openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.valid()) return ErrnoError(errno, "cannot open", name);
  return folder;
}

}  // namespace

absl::Status CopyFolder(const std::string& from, const std::string& to,
                        const CopyOptions& options) {
  const FileDescriptor source(open(from.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!source.valid()) return ErrnoError(errno, "cannot open", from);
  if (mkdir(to.c_str(), 0755) != 0) return ErrnoError(errno, "cannot make", to);
  const FileDescriptor made(open(to.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!made.valid()) return ErrnoError(errno, "cannot open", to);
  Copier copier(options);
  if (absl::Status filled = copier.Fill(source.get(), made.get(), from, 0); !filled.ok()) {
    return filled;
  }
  return copier.GiveAway(made.get(), to);
}

absl::Status LinkBelow(const std::string& from, const std::string& path, const std::string& to) {
  absl::Status status = CheckRelativePath(path);
  if (status.ok()) status = RemoveTree(to);
  if (status.ok()) status = MakeFolders(to, 0700);
  if (!status.ok()) return status;
  auto source = OpenFolder(AT_FDCWD, from), target = OpenFolder(AT_FDCWD, to);
  std::vector<std::string> names = absl::StrSplit(path, '/');
  const std::string last = std::move(names.back());
  names.pop_back();
  for (const std::string& name : names) {
    if (!source.ok()) return source.status();
    if (!target.ok()) return target.status();
    if (mkdirat(target->get(), name.c_str(), 0755) != 0) return ErrnoError(errno, "mkdir", to);
    source = OpenFolder(source->get(), name);
    target = OpenFolder(target->get(), name);
  }
  if (!source.ok()) return source.status();
  if (!target.ok()) return target.status();
  const CopyOptions options;
  return Copier(options, /*link=*/true).CopyOne(source->get(), target->get(), last, path, 0);
}

}  // namespace trainyard::worker
