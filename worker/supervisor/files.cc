// See files.h.
#include "worker/supervisor/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "worker/core/launch_spec.h"

namespace trainyard::worker {
namespace {

constexpr size_t kPreparedBytes = 16 << 10;

int64_t Nanos(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

bool ReadFrom(int fd, size_t bytes_max, std::string* to) {
  to->clear();
  char buffer[16384];
  while (to->size() < bytes_max) {
    const ssize_t n = read(fd, buffer, std::min(sizeof buffer, bytes_max - to->size()));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    if (n == 0) break;
    to->append(buffer, static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

int64_t WallMicros() { return Nanos(CLOCK_REALTIME) / 1000; }
int64_t MonotonicMillis() { return Nanos(CLOCK_MONOTONIC) / 1000000; }
int64_t BootMillis() { return Nanos(CLOCK_BOOTTIME) / 1000000; }

bool ReadWhole(const std::string& path, size_t bytes_max, std::string* to) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool ok = ReadFrom(fd, bytes_max, to);
  close(fd);
  return ok;
}

std::string ReadTail(const std::string& path, size_t bytes_max) {
  std::string tail;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return tail;
  struct stat info {};
  if (fstat(fd, &info) == 0) {
    const off_t start = std::max<off_t>(0, info.st_size - static_cast<off_t>(bytes_max));
    if (lseek(fd, start, SEEK_SET) == start) ReadFrom(fd, bytes_max, &tail);
  }
  close(fd);
  return tail;
}

bool WriteFully(int fd, const std::string& bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = write(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

bool WriteDurably(const std::string& path, const std::string& bytes) {
  const std::string temporary = path + layout::kNewSuffix;
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const bool written = WriteFully(fd, bytes) && fsync(fd) == 0;
  close(fd);
  return written && rename(temporary.c_str(), path.c_str()) == 0;
}

PreparedFile::~PreparedFile() {
  if (fd_ >= 0) close(fd_);
}

void PreparedFile::Prepare(const std::string& path) {
  const std::string temporary = path + layout::kNewSuffix;
  fd_ = open(temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd_ < 0 || !WriteFully(fd_, std::string(kPreparedBytes, ' '))) return;
  // A failure here is seen, and mended, by the sync of Write().
  if (fork() == 0) _exit(fdatasync(fd_) == 0 ? 0 : 1);
}

bool PreparedFile::Write(const std::string& path, const std::string& bytes) {
  const std::string temporary = path + layout::kNewSuffix;
  if (fd_ < 0 || bytes.size() > kPreparedBytes) return WriteDurably(path, bytes);
  const ssize_t written = pwrite(fd_, bytes.data(), bytes.size(), 0);
  if (written != static_cast<ssize_t>(bytes.size()) || fdatasync(fd_) != 0) {
    return WriteDurably(path, bytes);
  }
  return rename(temporary.c_str(), path.c_str()) == 0;
}

LineFile::~LineFile() {
  if (fd_ >= 0) close(fd_);
}
bool LineFile::Open(const std::string& path) {
  fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  return fd_ >= 0;
}
bool LineFile::Append(const std::string& lines) { return fd_ >= 0 && WriteFully(fd_, lines); }

std::string ProcessIdentity(int pid) {
  std::string boot;
  std::string stat;
  if (!ReadWhole("/proc/sys/kernel/random/boot_id", 64, &boot)) return "";
  if (!ReadWhole("/proc/" + std::to_string(pid) + "/stat", 4096, &stat)) return "";
  while (!boot.empty() && boot.back() == '\n') boot.pop_back();
  // The name (field 2) may hold anything: fields are counted from its closing bracket. Start time
  // is field 22, the 20th after it.
  size_t at = stat.rfind(')');
  for (int field = 0; field < 20 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  if (at == std::string::npos) return "";
  const size_t end = stat.find(' ', at + 1);
  return boot + " " + std::to_string(pid) + " " + stat.substr(at + 1, end - at - 1);
}

}  // namespace trainyard::worker
