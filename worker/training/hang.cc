// See hang.h.
#include "worker/training/hang.h"

#include <unistd.h>

#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/errors.h"
#include "common/file.h"

namespace trainyard::training {
namespace {

// A file of /proc has no size: one read takes it all.
std::string ReadProc(pid_t pid, absl::string_view name) {
  const auto text = ReadFile(absl::StrCat("/proc/", pid, "/", name));
  return text.ok() ? *text : "";
}

std::string StateText(char state) {
  switch (state) {
    case 'R':
      return "running";
    case 'S':
      return "asleep";
    case 'D':
      return "waiting for a device";
    case 'T':
    case 't':
      return "stopped by a signal";
    case 'Z':
    case 'X':
      return "ended";
  }
  return "";
}

}  // namespace

absl::Duration HangTimeout() {
  const char* const text = std::getenv("TRAINYARD_HANG_TIMEOUT");
  double seconds = 600;
  if (text != nullptr && absl::SimpleAtod(text, &seconds) && seconds == 0) {
    return absl::InfiniteDuration();
  }
  return seconds > 0 ? absl::Seconds(seconds) : absl::Minutes(10);
}

std::string DescribeProcess(pid_t pid) {
  // "pid (name) S ...": the name may hold anything, also brackets.
  const std::string stat = ReadProc(pid, "stat");
  const size_t close = stat.rfind(") ");
  if (close == std::string::npos || close + 2 >= stat.size()) return "";
  std::string text = StateText(stat[close + 2]);
  const std::string where = ReadProc(pid, "wchan");
  if (text == "asleep" && where.size() > 1) absl::StrAppend(&text, " in ", where);
  return text;
}

std::string NodeName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "?";
}

absl::Status Hang(absl::string_view who, absl::string_view where, absl::Duration waited) {
  const std::string since =
      absl::FormatTime("%H:%M:%S", absl::Now() - waited, absl::UTCTimeZone());
  return MakeError(absl::StatusCode::kDeadlineExceeded, "TIMED_OUT",
                   absl::StrFormat("hang: %s not come to %s for %.1f s, since %s UTC", who, where,
                                   absl::ToDoubleSeconds(waited), since),
                   "see that rank's log; TRAINYARD_HANG_TIMEOUT sets the limit in seconds");
}

}  // namespace trainyard::training
