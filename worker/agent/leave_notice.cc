// See leave_notice.h.
#include "worker/agent/leave_notice.h"

#include <sys/stat.h>
#include <time.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "glog/logging.h"

namespace trainyard::worker {

namespace {

absl::Time MachineStarted() {
  timespec up{};
  clock_gettime(CLOCK_BOOTTIME, &up);
  return absl::Now() - absl::DurationFromTimespec(up);
}

}  // namespace

absl::Time TimeOfNotice(absl::string_view text, absl::Time given, bool* understood) {
  text = absl::StripAsciiWhitespace(text);
  *understood = true;
  absl::Time at;
  absl::Duration left;
  std::string error;
  if (text.empty()) return given + kLeaveAhead;
  if (absl::ParseTime(absl::RFC3339_full, text, &at, &error) && at < absl::InfiniteFuture() &&
      at > absl::InfinitePast()) {
    return at;
  }
  if (absl::ParseDuration(text, &left) && left >= absl::ZeroDuration() &&
      left < absl::InfiniteDuration()) {
    return given + left;
  }
  *understood = false;
  return given + kLeaveAhead;
}

bool LeaveNotice::Give(absl::Time until) {
  const bool other = until != until_;
  until_ = until;
  return other;
}

bool LeaveNotice::Look() {
  struct stat info {};
  std::string seen;
  std::string text;
  if (stat(path_.c_str(), &info) == 0) {
    const absl::StatusOr<std::string> read = ReadFile(path_);
    if (!read.ok()) return false;  // gone meanwhile: the next look tells
    text = *read;
    seen = absl::StrCat(info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec, " ", text);
  }
  if (seen == seen_) return false;
  seen_ = seen;
  const absl::Time given = absl::TimeFromTimespec(info.st_mtim);
  if (seen.empty()) {
    LOG(INFO) << path_ << " is gone: the notice is withdrawn";
    return Give(usual_);
  }
  if (given < MachineStarted()) {
    LOG(WARNING) << path_ << " is of " << given << ", before this machine's last start: ignored";
    return Give(usual_);
  }
  bool understood = false;
  const absl::Time until = TimeOfNotice(text, given, &understood);
  LOG_IF(ERROR, !understood) << path_ << " says \"" << absl::StripAsciiWhitespace(text)
                             << "\", which is no time (2026-12-24T08:00:00Z) and no duration "
                             << "(30s); two minutes are assumed";
  return Give(until);
}

}  // namespace trainyard::worker
