// See disk_guard.h.
#include "scheduler/runtime/disk_guard.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/file.h"

namespace trainyard::runtime {

DiskGuard::DiskGuard(std::string folder, int64_t reserve_bytes)
    : folder_(std::move(folder)), reserve_bytes_(reserve_bytes) {
  Look();
}

int64_t DiskGuard::FreeBytes() const {
  struct statvfs disk {};
  if (statvfs(folder_.c_str(), &disk) != 0) return std::numeric_limits<int64_t>::max();
  return static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
}

bool DiskGuard::Reserve() const {
  const std::string path = JoinPath(folder_, "reserve");
  if (Exists(path)) return true;
  const FileDescriptor file(open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  if (!file.valid()) return false;
  if (posix_fallocate(file.get(), 0, reserve_bytes_) == 0) return true;
  unlink(path.c_str());
  return false;
}

void DiskGuard::Full() {
  full_.store(true, std::memory_order_relaxed);
  if (!folder_.empty()) unlink(JoinPath(folder_, "reserve").c_str());
}

void DiskGuard::Written() {
  if (folder_.empty() && full()) full_.store(false, std::memory_order_relaxed);
}

void DiskGuard::Look() {
  if (folder_.empty() || reserve_bytes_ <= 0) return;  // only the journal's word counts
  const int64_t free_bytes = FreeBytes();
  const bool reserved = Exists(JoinPath(folder_, "reserve"));
  const int64_t wanted = reserved ? reserve_bytes_ : 2 * reserve_bytes_;
  if (full()) {
    if (free_bytes >= wanted && Reserve()) full_.store(false, std::memory_order_relaxed);
  } else if (!reserved && free_bytes >= wanted) {
    Reserve();
  } else if (free_bytes < reserve_bytes_ / 2) {
    // Full before the journal meets it: submits stop, the reserve stays for what must be written.
    full_.store(true, std::memory_order_relaxed);
  }
}

absl::Status DiskGuard::Refusal() const {
  return MakeError(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                   absl::StrCat("the scheduler's disk (", folder_.empty() ? "journal" : folder_,
                                ") is full; jobs that run go on, new ones are refused"),
                   "free some space there, then submit again");
}

}  // namespace trainyard::runtime
