// See attempt_folder.h.
#include "worker/agent/attempt_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/file.h"
#include "worker/agent/machine.h"
#include "worker/core/launch_build.h"

namespace trainyard::worker {
namespace {

constexpr char kAssignment[] = "assignment.pb";
constexpr char kReported[] = "reported";

// Written without fsync: after a power cut no process lives that could need it.
absl::Status WritePlain(const std::string& path, absl::string_view bytes) {
  FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.valid()) return ErrnoError(errno, "cannot make", path);
  return WriteAll(file.get(), bytes);
}

// Fields of /proc/PID/stat after the name: state is the first.
std::vector<std::string> StatFields(const std::string& pid) {
  const absl::StatusOr<std::string> text = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  if (!text.ok()) return {};
  const size_t bracket = text->rfind(')');
  if (bracket == std::string::npos || bracket + 2 > text->size()) return {};
  return absl::StrSplit(text->substr(bracket + 2), ' ');
}

constexpr size_t kSessionField = 3;  // state, parent, group, session
constexpr size_t kStartField = 19;

// "BOOT PID START" as the supervisor wrote it into its lock.
std::vector<std::string> LockWords(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return {};
  std::vector<std::string> words =
      absl::StrSplit(absl::StripAsciiWhitespace(*text), ' ', absl::SkipEmpty());
  return words.size() == 3 ? words : std::vector<std::string>();
}

}  // namespace

absl::Status AttemptFolder::Create(const agent::v1::Assignment& assignment, int64_t user_id,
                                   int64_t group_id) const {
  // A foreign user must get through to its own folders, and see nothing else.
  if (mkdir(path_.c_str(), user_id >= 0 ? 0711 : 0700) != 0) {
    return ErrnoError(errno, "cannot make attempt folder", path_);
  }
  if (user_id >= 0 && chmod(path_.c_str(), 0711) != 0) {
    return ErrnoError(errno, "cannot open up", path_);
  }
  for (const std::string& name : AttemptFolders()) {
    const std::string folder = In(name);
    if (mkdir(folder.c_str(), 0700) != 0) return ErrnoError(errno, "cannot make", folder);
    if (user_id >= 0 &&
        chown(folder.c_str(), static_cast<uid_t>(user_id), static_cast<gid_t>(group_id)) != 0) {
      return ErrnoError(errno, "cannot hand over", folder);
    }
  }
  return WritePlain(In(kAssignment), assignment.SerializeAsString());
}

absl::Status AttemptFolder::WriteLaunch(const LaunchSpec& spec) const {
  return WritePlain(In(layout::kLaunch), LaunchSpecToJson(spec));
}

absl::Status AttemptFolder::MarkReported(uint64_t sequence) const {
  return WritePlain(In(kReported), absl::StrCat(sequence));
}

absl::StatusOr<agent::v1::Assignment> AttemptFolder::ReadAssignment() const {
  absl::StatusOr<std::string> bytes = ReadFile(In(kAssignment));
  if (!bytes.ok()) return bytes.status();
  agent::v1::Assignment assignment;
  if (!assignment.ParseFromString(*bytes)) {
    return absl::DataLossError(absl::StrCat(In(kAssignment), " is damaged"));
  }
  return assignment;
}

std::optional<uint64_t> AttemptFolder::Reported() const {
  const absl::StatusOr<std::string> text = ReadFile(In(kReported));
  uint64_t sequence = 0;
  if (!text.ok() || !absl::SimpleAtoi(*text, &sequence)) return std::nullopt;
  return sequence;
}

bool AttemptFolder::Launched() const { return Exists(In(layout::kLaunch)); }

absl::StatusOr<ExitReport> AttemptFolder::ReadExit() const {
  absl::StatusOr<std::string> text = ReadFile(In(layout::kExit));
  if (!text.ok() && FromEarlierBoot()) {
    text = ReadFile(absl::StrCat(In(layout::kExit), layout::kNewSuffix));
  }
  if (!text.ok()) return text.status();
  ExitReport report;
  std::string error;
  if (!ExitReportFromJson(*text, &report, &error)) return absl::DataLossError(error);
  return report;
}

pid_t AttemptFolder::Supervisor() const {
  const std::string path = In(layout::kLock);
  FileDescriptor lock(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!lock.valid()) return -1;
  if (flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return -1;  // nobody holds it
  const std::vector<std::string> words = LockWords(path);
  int pid = 0;
  if (words.empty() || words[0] != BootId() || !absl::SimpleAtoi(words[1], &pid)) return -1;
  const std::vector<std::string> fields = StatFields(words[1]);
  if (fields.size() <= kStartField || fields[kStartField] != words[2]) return -1;
  return pid;
}

FileDescriptor AttemptFolder::Seize() const {
  FileDescriptor lock(open(In(layout::kLock).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid() || flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return FileDescriptor();
  return lock;
}

pid_t AttemptFolder::DeadSession() const {
  const std::vector<std::string> words = LockWords(In(layout::kLock));
  pid_t pid = -1;
  if (words.empty() || words[0] != BootId() || !absl::SimpleAtoi(words[1], &pid)) return -1;
  // While a session has members its number is given to no process: if there is one, it is reused.
  const std::vector<std::string> fields = StatFields(words[1]);
  return fields.empty() || fields[0] == "Z" ? pid : -1;
}

bool AttemptFolder::FromEarlierBoot() const {
  const std::vector<std::string> words = LockWords(In(layout::kLock));
  return !words.empty() && words[0] != BootId();
}

std::vector<FoundAttempt> FindAttempts(const std::string& folder) {
  std::vector<FoundAttempt> found;
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(folder);
  if (!names.ok()) return found;
  for (const std::string& name : *names) {
    MemberId id;
    if (ParseFolderName(name, &id)) found.push_back({id, JoinPath(folder, name)});
  }
  std::sort(found.begin(), found.end(),
            [](const FoundAttempt& a, const FoundAttempt& b) { return a.id < b.id; });
  return found;
}

namespace {

bool IsOf(const std::string& process, const std::string& session, const std::string& marker) {
  const std::vector<std::string> fields = StatFields(process);
  if (fields.size() <= kSessionField || fields[0] == "Z") return false;
  if (fields[kSessionField] == session) return true;
  const absl::StatusOr<std::string> env = ReadFile(absl::StrCat("/proc/", process, "/environ"));
  return env.ok() && absl::StrContains(*env, marker);
}

}  // namespace

void KillLeft(pid_t session, const std::string& folder) {
  const std::string wanted = session > 0 ? absl::StrCat(session) : "none";
  const std::string marker = absl::StrCat(folder, "/");  // AIP_MODEL_DIR and others begin so
  for (int round = 0; round < 100; ++round) {
    bool any = false;
    const absl::StatusOr<std::vector<std::string>> names = ListFolder("/proc");
    if (!names.ok()) return;
    for (const std::string& name : *names) {
      pid_t pid = 0;
      if (!absl::SimpleAtoi(name, &pid) || !IsOf(name, wanted, marker)) continue;
      any = true;
      kill(pid, SIGKILL);
    }
    if (!any) return;
    absl::SleepFor(absl::Milliseconds(10));
  }
}

}  // namespace trainyard::worker
