// See log_files.h.
#include "client/cli/log_files.h"

#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "worker/core/launch_spec.h"

namespace trainyard::cli {
namespace {

constexpr size_t kReadBytes = 1 << 16;

}  // namespace

LogFiles::LogFiles(Console* console, const std::string& folder, int ranks) : console_(console) {
  for (int rank = 0; rank < ranks; ++rank) {
    for (const bool is_stderr : {false, true}) {
      File file;
      file.path = JoinPath(folder, worker::layout::RankLog(rank, is_stderr));
      file.label = ranks > 1 ? absl::StrCat("[rank ", rank, "] ") : "";
      file.is_stderr = is_stderr;
      files_.push_back(std::move(file));
    }
  }
  File launcher;
  launcher.path = JoinPath(folder, "log/launcher.err");
  launcher.label = "[mpirun] ";
  launcher.is_stderr = true;
  files_.push_back(std::move(launcher));
}

bool LogFiles::Read(File* file) {
  if (!file->fd.valid()) {
    file->fd = FileDescriptor(open(file->path.c_str(), O_RDONLY | O_CLOEXEC));
  }
  if (!file->fd.valid()) return false;
  char buffer[kReadBytes];
  const ssize_t n = read(file->fd.get(), buffer, sizeof buffer);
  if (n <= 0) return false;
  file->pending.append(buffer, static_cast<size_t>(n));
  return true;
}

void LogFiles::Print(File* file, bool whole) {
  std::string out;
  size_t begin = 0;
  for (size_t end; (end = file->pending.find('\n', begin)) != std::string::npos; begin = end + 1) {
    absl::StrAppend(&out, file->label, file->pending.substr(begin, end - begin + 1));
  }
  file->pending.erase(0, begin);
  if (whole && !file->pending.empty()) {
    absl::StrAppend(&out, file->label, file->pending, "\n");
    file->pending.clear();
  }
  if (out.empty()) return;
  if (file->is_stderr) {
    console_->Err(out);
  } else {
    console_->Out(out);
    console_->Flush();
  }
}

bool LogFiles::Forward() {
  bool any = false;
  for (File& file : files_) {
    if (!Read(&file)) continue;
    any = true;
    Print(&file, /*whole=*/false);
  }
  return any;
}

void LogFiles::Finish() {
  for (File& file : files_) Print(&file, /*whole=*/true);
}

}  // namespace trainyard::cli
