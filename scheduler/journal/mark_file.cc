// See mark_file.h.
#include "scheduler/journal/mark_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "scheduler/journal/hash64.h"

namespace trainyard::journal {
namespace {

std::string Text(uint64_t incarnation, uint64_t sequence, uint64_t file) {
  const std::string body = absl::StrFormat("%020d %020d %020d", incarnation, sequence, file);
  return absl::StrFormat("%s %016x\n", body, Hash64(body, 0));
}

// Of the inode and the time of its birth: a copy of a file has another inode, or that of a file
// that was removed before.
uint64_t FileNumber(const std::string& path) {
  struct statx info {};
  if (statx(AT_FDCWD, path.c_str(), 0, STATX_INO | STATX_BTIME, &info) != 0) return 0;
  if ((info.stx_mask & STATX_BTIME) == 0) return info.stx_ino;  // the file system keeps none
  const std::string both =
      absl::StrCat(info.stx_ino, " ", info.stx_btime.tv_sec, " ", info.stx_btime.tv_nsec);
  return Hash64(both, 0);
}

}  // namespace

Mark ReadMark(const std::string& path) {
  Mark mark;
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return mark;
  const std::vector<std::string> parts = absl::StrSplit(*text, ' ');
  uint64_t file = 0;
  if (parts.size() != 4 || !absl::SimpleAtoi(parts[0], &mark.incarnation) ||
      !absl::SimpleAtoi(parts[1], &mark.sequence) || !absl::SimpleAtoi(parts[2], &file)) {
    return Mark();
  }
  if (*text != Text(mark.incarnation, mark.sequence, file)) return Mark();
  mark.exists = true;
  mark.is_copy = FileNumber(path) != file;
  return mark;
}

absl::StatusOr<std::unique_ptr<MarkFile>> MarkFile::Open(const std::string& path) {
  auto file = std::make_unique<MarkFile>();
  file->fd_ = FileDescriptor(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!file->fd_.valid()) return ErrnoError(errno, "open", path);
  file->file_ = FileNumber(path);
  return file;
}

void MarkFile::Write(uint64_t incarnation, uint64_t sequence) {
  const std::string text = Text(incarnation, sequence, file_);
  const ssize_t written = pwrite(fd_.get(), text.data(), text.size(), 0);
  static_cast<void>(written);
}

}  // namespace trainyard::journal
