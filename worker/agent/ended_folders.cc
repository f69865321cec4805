// See ended_folders.h.
#include "worker/agent/ended_folders.h"

#include <glog/logging.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace trainyard::worker {
namespace {

// Regular files count by size; links and sockets only as entries.
bool IsSmall(const std::string& path) {
  std::error_code error;
  int entries = 0;
  int64_t bytes = 0;
  std::filesystem::recursive_directory_iterator it(path, error);
  for (; !error && it != std::filesystem::recursive_directory_iterator(); it.increment(error)) {
    if (++entries > EndedFolders::kEntriesMax) return false;
    if (it->is_symlink(error) || !it->is_regular_file(error)) continue;
    bytes += static_cast<int64_t>(it->file_size(error));
    if (error || bytes > EndedFolders::kBytesMax) return false;
  }
  return !error;
}

}  // namespace

std::string EndedFolders::NextAside() {
  return JoinPath(aside_, absl::StrCat(getpid(), "-", next_++));
}

absl::Status EndedFolders::Remove(const std::string& path, absl::Duration now) {
  if (!IsSmall(path)) return RemoveTree(path);
  std::vector<std::string> overdue;
  std::string away;
  {
    MutexLock lock(&mutex_);
    away = NextAside();
    if (folders_.size() >= kFoldersMax) {
      for (size_t i = 0; i < kFoldersMax / 2; ++i) {
        overdue.push_back(std::move(folders_.front().path));
        folders_.pop_front();
      }
    }
  }
  for (const std::string& old : overdue) {
    if (absl::Status removed = RemoveTree(old); !removed.ok()) return removed;
  }
  if (!MakeFolders(aside_).ok() || rename(path.c_str(), away.c_str()) != 0) {
    return RemoveTree(path);
  }
  MutexLock lock(&mutex_);
  folders_.push_back({std::move(away), now});
  return absl::OkStatus();
}

absl::Status EndedFolders::PutAside(const std::string& path) {
  std::string away;
  {
    MutexLock lock(&mutex_);
    away = NextAside();
  }
  const bool moved = MakeFolders(aside_).ok() && rename(path.c_str(), away.c_str()) == 0;
  return moved ? absl::OkStatus() : RemoveTree(path);
}

void EndedFolders::Sweep(absl::Duration now) {
  std::vector<std::string> overdue;
  {
    MutexLock lock(&mutex_);
    while (!folders_.empty() && now - folders_.front().since >= kKept) {
      overdue.push_back(std::move(folders_.front().path));
      folders_.pop_front();
    }
  }
  for (const std::string& path : overdue) {
    const absl::Status removed = RemoveTree(path);
    LOG_IF(WARNING, !removed.ok()) << removed;
  }
}

absl::Status EndedFolders::RemoveAll() {
  {
    MutexLock lock(&mutex_);
    folders_.clear();
  }
  return RemoveTree(aside_);
}

size_t EndedFolders::size() const {
  MutexLock lock(&mutex_);
  return folders_.size();
}

}  // namespace trainyard::worker
