// See run_as.h.
#include "worker/agent/run_as.h"

#include <errno.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/file.h"

namespace trainyard::worker {

absl::StatusOr<RunAs> ResolveRunAs(const std::string& user) {
  if (user.empty()) return RunAs();
  std::string buffer(16384, '\0');
  passwd record{};
  passwd* found = nullptr;
  getpwnam_r(user.c_str(), &record, buffer.data(), buffer.size(), &found);
  if (found == nullptr) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                     absl::StrCat("this node has no user \"", user, "\" to run the job as"),
                     absl::StrCat("make the user on the node (useradd ", user,
                                  ") or set another run_as for the project"));
  }
  if (found->pw_uid == geteuid()) return RunAs();
  if (geteuid() != 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                     absl::StrCat("the node's agent is no root and cannot run jobs as ", user),
                     "run the agent as root, or leave run_as empty");
  }
  return RunAs{static_cast<int64_t>(found->pw_uid), static_cast<int64_t>(found->pw_gid),
               found->pw_name, found->pw_dir};
}

absl::Status CheckReach(const RunAs& run_as, const std::string& path) {
  if (run_as.user_id < 0) return absl::OkStatus();
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string folder = path.substr(0, slash);
    struct stat info {};
    if (stat(folder.c_str(), &info) != 0) return ErrnoError(errno, "cannot look at", folder);
    mode_t needed = S_IXOTH;
    if (static_cast<int64_t>(info.st_uid) == run_as.user_id) {
      needed = S_IXUSR;
    } else if (static_cast<int64_t>(info.st_gid) == run_as.group_id) {
      needed = S_IXGRP;
    }
    if ((info.st_mode & needed) != 0) continue;
    return MakeError(absl::StatusCode::kPermissionDenied, "BAD_VALUE",
                     absl::StrCat("the job runs as ", run_as.user, ", who may not enter ", folder,
                                  " on the way to ", path),
                     absl::StrCat("chmod o+x ", folder,
                                  " on the node, or install Trainyard and its work_dir elsewhere"));
  }
  return absl::OkStatus();
}

}  // namespace trainyard::worker
