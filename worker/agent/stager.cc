// See stager.h.
#include "worker/agent/stager.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/sha256.h"
#include "worker/agent/copy_folder.h"
#include "worker/agent/installer.h"
#include "worker/core/launch_spec.h"

namespace trainyard::worker {
namespace {

constexpr absl::Duration kWaitLook = absl::Milliseconds(100);

std::string NameOf(const v1::PackageRef& package) {
  if (!package.uri().empty()) return package.uri();
  return package.file_name().empty() ? "package" : package.file_name();
}

absl::Status Explain(const v1::PackageRef& package, const absl::Status& why) {
  const v1::Faults faults = FaultsOf(why);
  const bool has_fix = faults.faults_size() > 0 && !faults.faults(0).fix().empty();
  const std::string reason = has_fix ? faults.faults(0).message() : std::string(why.message());
  const std::string fix =
      has_fix ? faults.faults(0).fix()
              : "submit again; if it persists check that the package was uploaded whole";
  return MakeError(why.code(), "PACKAGE_INVALID",
                   absl::StrCat("package ", NameOf(package), " cannot be used: ", reason), fix);
}

// A gang of another shape gets all parts: files of one name are those of the first part that has
// them, the head's before the others'.
absl::Status RestoreCheckpoint(blob::Client* client, const agent::v1::Assignment& assignment,
                               const std::string& folder) {
  for (int i = assignment.checkpoint_parts_size(); i-- > 1;) {
    const absl::Status part = client->DownloadFolder(assignment.checkpoint_parts(i), folder);
    if (!part.ok()) return part;
  }
  return client->DownloadFolder(assignment.checkpoint_tree(), folder);
}

// Top-level names of a package appear in the work folder too, so that a program finds its own files
// where its author ran it.
absl::Status LinkInto(const std::string& from, const std::string& to) {
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(from);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    const std::string target = JoinPath(from, name);
    const std::string link = JoinPath(to, name);
    // The first package of a name wins, as on Python's path.
    if (symlink(target.c_str(), link.c_str()) != 0 && errno != EEXIST) {
      return ErrnoError(errno, "cannot link", link);
    }
  }
  return absl::OkStatus();
}

int64_t BytesBelow(const std::string& folder) {
  int64_t bytes = 0;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    struct stat info {};
    if (lstat(at->path().c_str(), &info) == 0) bytes += info.st_blocks * 512;
  }
  return bytes;
}

// One name for what is the same on this node.
std::string CacheName(const v1::PackageRef& package, const PipOptions& options) {
  std::string name =
      absl::StrCat(HexOf(package.digest()), "-", v1::PackageRef::Kind_Name(package.kind()));
  if (!MayRunCode(package)) return name;  // a folder that is only unpacked among them
  const std::string whose = absl::StrCat(options.user_id, " ", options.python);
  return absl::StrCat(name, "-", HexOf(Sha256Of(whose)).substr(0, 16));
}

}  // namespace

bool Stager::NeedsStaging(const agent::v1::Assignment& assignment) {
  return assignment.program().packages_size() > 0 || !assignment.checkpoint_tree().empty();
}

bool Stager::MayInstall(const agent::v1::Assignment& assignment) {
  const auto& packages = assignment.program().packages();
  return std::any_of(packages.begin(), packages.end(), MayRunCode);
}

std::vector<std::string> Stager::PackagePaths(const agent::v1::Assignment& assignment,
                                              const std::string& folder) {
  std::vector<std::string> paths;
  for (int i = 0; i < assignment.program().packages_size(); ++i) {
    paths.push_back(absl::StrCat(folder, "/", layout::kPackages, "/", i));
  }
  return paths;
}

absl::Status Stager::Stage(const agent::v1::Assignment& assignment, blob::Client* client,
                           const std::string& folder, const PipOptions& options) {
  const std::vector<std::string> paths = PackagePaths(assignment, folder);
  if (!paths.empty()) {
    if (absl::Status made = MakeFolders(JoinPath(folder, layout::kPackages), 0755); !made.ok()) {
      return made;
    }
  }
  for (size_t i = 0; i < paths.size(); ++i) {
    const v1::PackageRef& package = assignment.program().packages(static_cast<int>(i));
    absl::Status copied = RemoveTree(paths[i]);  // of an earlier try
    if (copied.ok()) copied = CopyOne(client, package, paths[i], options);
    if (!copied.ok()) return copied;
    // What was installed may be called otherwise than in its source.
    const bool plain =
        package.kind() == v1::PackageRef::TREE && !IsProject(package.kind(), package.file_name());
    if (!plain) continue;
    if (absl::Status linked = LinkInto(paths[i], JoinPath(folder, layout::kWork)); !linked.ok()) {
      return linked;
    }
  }
  if (assignment.checkpoint_tree().empty()) return absl::OkStatus();
  const absl::Status restored =
      RestoreCheckpoint(client, assignment, JoinPath(folder, layout::kCheckpoints));
  if (restored.ok()) return restored;
  return absl::Status(restored.code(),
                      absl::StrCat("the checkpoint of step ", assignment.checkpoint_step(),
                                   " cannot be restored: ", std::string(restored.message())));
}

class Stager::Use {
 public:
  Use(Stager* stager, std::string name) : stager_(stager), name_(std::move(name)) {
    MutexLock lock(&stager_->mutex_);
    ++stager_->users_[name_];
  }
  ~Use() {
    MutexLock lock(&stager_->mutex_);
    if (--stager_->users_[name_] == 0) stager_->users_.erase(name_);
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  Stager* const stager_;
  const std::string name_;
};

absl::Status Stager::CopyOne(blob::Client* client, const v1::PackageRef& package,
                             const std::string& to, const PipOptions& options) {
  if (package.digest().size() != kDigestBytes) {
    return Explain(
        package, MakeError(absl::StatusCode::kInvalidArgument, "PACKAGE_INVALID",
                           "it was never uploaded", "submit it with --packages or --package-path"));
  }
  const std::string name = CacheName(package, options);
  const std::string folder = JoinPath(cache_, name);
  const Use use(this, name);
  if (absl::Status fetched = Fetch(name, client, package, options); !fetched.ok()) {
    return Explain(package, fetched);
  }
  utimensat(AT_FDCWD, folder.c_str(), nullptr, 0);  // used just now
  CopyOptions copy;
  copy.user_id = options.user_id;
  copy.group_id = options.group_id;
  return CopyFolder(folder, to, copy);
}

// By the time of their folders, which every use renews.
void Stager::RemoveOldest() {
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(cache_);
  if (!names.ok()) return;
  std::multimap<int64_t, std::string> by_time;
  std::map<std::string, int64_t> bytes;
  int64_t bytes_left = 0;
  for (const std::string& name : *names) {
    struct stat info {};
    const bool whole = name.find('.') == std::string::npos;  // others are being made
    if (!whole || lstat(JoinPath(cache_, name).c_str(), &info) != 0) continue;
    by_time.emplace(info.st_mtime, name);
    const auto known = bytes_.find(name);
    const int64_t size = known == bytes_.end() ? BytesBelow(JoinPath(cache_, name)) : known->second;
    bytes[name] = size;
    bytes_left += size;
  }
  bytes_ = std::move(bytes);
  size_t left = by_time.size();
  for (const auto& [unused, name] : by_time) {
    if (left <= limits_.packages && bytes_left <= limits_.bytes) return;
    if (users_.count(name) > 0) continue;
    const std::string folder = JoinPath(cache_, name);
    const std::string doomed = folder + ".old";
    if (rename(folder.c_str(), doomed.c_str()) == 0) RemoveTree(doomed).IgnoreError();
    --left;
    bytes_left -= bytes_[name];
    bytes_.erase(name);
  }
}

absl::Status Stager::Fetch(const std::string& name, blob::Client* client,
                           const v1::PackageRef& package, const PipOptions& options) {
  const std::string folder = JoinPath(cache_, name);
  {
    MutexLock lock(&mutex_);
    while (fetching_.count(name) > 0) {
      if (options.give_up()) {
        return absl::DeadlineExceededError("it is being installed for another job for too long");
      }
      changed_.WaitFor(&mutex_, kWaitLook);
    }
    if (Exists(folder)) return absl::OkStatus();
    fetching_.insert(name);
  }
  const std::string temporary = absl::StrCat(folder, ".new");
  absl::Status filled = RemoveTree(temporary);
  if (filled.ok()) filled = Fill(client, package, temporary, options);
  if (filled.ok() && chmod(temporary.c_str(), 0700) != 0) {
    filled = ErrnoError(errno, "cannot close off", temporary);
  }
  if (filled.ok() && rename(temporary.c_str(), folder.c_str()) != 0) {
    filled = ErrnoError(errno, "cannot rename", temporary);
  }
  if (!filled.ok()) RemoveTree(temporary).IgnoreError();
  MutexLock lock(&mutex_);
  fetching_.erase(name);
  changed_.NotifyAll();
  if (filled.ok()) RemoveOldest();
  return filled;
}

absl::Status Stager::Fill(blob::Client* client, const v1::PackageRef& package,
                          const std::string& folder, const PipOptions& options) {
  FetchedPackage fetched;
  fetched.kind = package.kind();
  fetched.file_name = package.file_name();
  fetched.path = absl::StrCat(folder, ".fetched");
  absl::Status status = RemoveTree(fetched.path);
  switch (package.kind()) {
    case v1::PackageRef::TREE:
      if (status.ok()) status = MakeFolders(fetched.path, 0755);
      if (status.ok()) status = client->DownloadFolder(package.digest(), fetched.path);
      break;
    default:
      if (status.ok()) status = client->DownloadFile(package.digest(), fetched.path);
  }
  if (status.ok()) status = InstallPackage(fetched, folder, options);
  RemoveTree(fetched.path).IgnoreError();
  return status;
}

}  // namespace trainyard::worker
