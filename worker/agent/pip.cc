// See pip.h.
#include "worker/agent/pip.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/errors.h"
#include "common/file.h"
#include "worker/supervisor/keeper.h"
#include "worker/supervisor/process.h"

namespace trainyard::worker {
namespace {

constexpr int kPollMillis = 100;
constexpr int kKeeperMillis = 10'000;  // it takes at most five seconds to end everything
constexpr size_t kLinesTold = 8;
constexpr size_t kBytesTold = 1500;

absl::Status Invalid(const std::string& what, const std::string& fix) {
  return MakeError(absl::StatusCode::kInvalidArgument, "PACKAGE_INVALID", what, fix);
}

// The last lines that say something of the package, oldest first.
std::string LastWords(const std::string& text) {
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripTrailingAsciiWhitespace(line);
    // Around the words of a setup.py pip draws a frame and adds advice about itself.
    const absl::string_view text_of = absl::StripLeadingAsciiWhitespace(line);
    bool advice = absl::StrContains(line, "[end of output]");
    for (const char* begin : {"note: ", "hint: ", "WARNING: ", "error: subprocess-exited",
                              "error: metadata-generation", "\u00d7 ", "\u2570", "\u2502"}) {
      advice = advice || absl::StartsWith(text_of, begin);
    }
    if (!line.empty() && !advice) lines.emplace_back(line);
  }
  const size_t from = lines.size() > kLinesTold ? lines.size() - kLinesTold : 0;
  std::string told = absl::StrJoin(lines.begin() + static_cast<ptrdiff_t>(from), lines.end(), "\n");
  if (told.size() > kBytesTold) told = "..." + told.substr(told.size() - kBytesTold);
  return told;
}

std::string TailOf(const std::string& path) {
  constexpr off_t kTail = 16 << 10;
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!file.valid() || fstat(file.get(), &info) != 0) return "";
  std::string text(static_cast<size_t>(std::min(info.st_size, kTail)), '\0');
  const ssize_t size =
      pread(file.get(), text.data(), text.size(), info.st_size - static_cast<off_t>(text.size()));
  text.resize(size < 0 ? 0 : static_cast<size_t>(size));
  return text;
}

absl::Status Explain(int wait_status, const std::string& python, const std::string& source,
                     const std::string& words) {
  // The author's own names, not those of our folders.
  const std::string told = LastWords(absl::StrReplaceAll(words, {{source + "/", ""}}));
  if (absl::StrContains(words, "No module named pip")) {
    return Invalid(
        absl::StrCat("the node's ", python, " has no pip to install it with"),
        "install python3-pip, python3-setuptools and python3-wheel on the nodes, or give "
        "the package without its setup.py");
  }
  for (const char* tool : {"setuptools", "wheel"}) {
    if (!absl::StrContains(words, absl::StrCat("No module named '", tool, "'")) &&
        !(strcmp(tool, "wheel") == 0 &&
          absl::StrContains(words, "invalid command 'bdist_wheel'"))) {
      continue;
    }
    return Invalid(absl::StrCat("the node's ", python, " has no ", tool, " to install it with"),
                   absl::StrCat("install python3-", tool,
                                " on the nodes, or build a wheel (pip wheel .) and give that"));
  }
  const int code =
      WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
  const std::string how = code > 128 ? absl::StrCat("was killed by signal ", code - 128)
                                     : absl::StrCat("exited with code ", code);
  return Invalid(
      absl::StrCat("pip ", how, told.empty() ? "" : ":\n", told),
      "try python3 -m pip install --no-index --no-deps --no-build-isolation --target /tmp/t on it; "
      "nodes install without an index, so what its build needs has to be on them");
}

// Waits for the end of the keeper `pid`; false when given up, then it is told to end all it keeps.
bool Await(pid_t pid, const std::function<bool()>& give_up, int* wait_status) {
  const FileDescriptor end(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  bool done = false;
  while (!done && !give_up()) done = AwaitEnd(pid, end.get(), kPollMillis);
  if (!done) {
    kill(pid, SIGTERM);
    if (!AwaitEnd(pid, end.get(), kKeeperMillis)) kill(pid, SIGKILL);
  }
  while (waitpid(pid, wait_status, 0) < 0 && errno == EINTR) {
  }
  return done;
}

}  // namespace

absl::Status PipInstall(const std::string& source, const std::string& target,
                        const std::string& log, const PipOptions& options) {
  KeeperSpec kept;
  const std::string python = FindProgram(options.python, options.env);
  if (python.empty() || python[0] != '/') {
    return Invalid(absl::StrCat("the node has no ", options.python, " to install it with"),
                   "install that interpreter on the nodes, or name another one in the spec");
  }
  kept.parent = getpid();
  kept.user_id = options.user_id;
  kept.group_id = options.group_id;
  kept.log = log;
  kept.argv = {python,
               "-m",
               "pip",
               "install",
               "--no-index",
               "--no-deps",
               "--no-build-isolation",
               "--no-input",
               "--no-cache-dir",
               "--no-warn-script-location",
               "--disable-pip-version-check",
               "--root-user-action=ignore",
               "--quiet",
               "--target",
               target,
               source};
  ProcessSpec spec;
  spec.path = options.keeper;
  spec.argv = KeeperWords(kept);
  spec.argv.insert(spec.argv.begin(), options.keeper);
  spec.env = options.env;
  spec.env["TMPDIR"] = target + ".tmp";
  spec.env["PYTHONNOUSERSITE"] = "1";
  spec.env["HOME"] = spec.env["TMPDIR"];  // nobody's settings but ours
  spec.env.erase("PYTHONPATH");
  spec.folder = "/";
  const std::string temporary = spec.env["TMPDIR"];
  if (absl::Status made = MakeFolders(temporary, 0700); !made.ok()) return made;
  if (options.user_id >= 0 && chown(temporary.c_str(), static_cast<uid_t>(options.user_id),
                                    static_cast<gid_t>(options.group_id)) != 0) {
    return ErrnoError(errno, "cannot hand over", temporary);
  }
  const StartedProcess started = StartProcess(spec);
  absl::Status status;
  if (started.pid < 0) {
    status =
        ErrnoError(started.error, absl::StrCat("cannot start (", started.step, ")"), spec.path);
  } else {
    int wait_status = 0;
    if (!Await(started.pid, options.give_up, &wait_status)) {
      status = absl::DeadlineExceededError("its installation took too long");
    } else if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == kKeeperFailed) {
      status = absl::InternalError(absl::StrCat("pip: ", TailOf(log)));
    } else if (wait_status != 0) {
      status = Explain(wait_status, options.python, source, TailOf(log));
    }
  }
  RemoveTree(temporary).IgnoreError();
  return status;
}

}  // namespace trainyard::worker
