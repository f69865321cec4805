// See stager.h.
#include "worker/agent/stager.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/sha256.h"
#include "worker/agent/installer.h"
#include "worker/core/launch_spec.h"

namespace trainyard::worker {
namespace {

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

// Top-level names of a package appear in the work folder too, so that a program finds its own files
// where its author ran it. What a program writes there stays apart from the cache.
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

}  // namespace

bool Stager::NeedsStaging(const agent::v1::Assignment& assignment) {
  return assignment.program().packages_size() > 0 || !assignment.checkpoint_tree().empty();
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
                           const std::string& folder) {
  const std::vector<std::string> paths = PackagePaths(assignment, folder);
  if (!paths.empty()) {
    if (absl::Status made = MakeFolders(JoinPath(folder, layout::kPackages), 0755); !made.ok()) {
      return made;
    }
  }
  for (size_t i = 0; i < paths.size(); ++i) {
    const v1::PackageRef& package = assignment.program().packages(static_cast<int>(i));
    const absl::StatusOr<std::string> cached = Fetch(client, package);
    if (!cached.ok()) return Explain(package, cached.status());
    unlink(paths[i].c_str());  // of an earlier try
    if (symlink(cached->c_str(), paths[i].c_str()) != 0) {
      return ErrnoError(errno, "cannot link", paths[i]);
    }
    if (package.kind() != v1::PackageRef::TREE) continue;
    if (absl::Status linked = LinkInto(*cached, JoinPath(folder, layout::kWork)); !linked.ok()) {
      return linked;
    }
  }
  if (assignment.checkpoint_tree().empty()) return absl::OkStatus();
  const absl::Status restored =
      client->DownloadFolder(assignment.checkpoint_tree(), JoinPath(folder, layout::kCheckpoints));
  if (restored.ok()) return restored;
  return absl::Status(restored.code(),
                      absl::StrCat("the checkpoint of step ", assignment.checkpoint_step(),
                                   " cannot be restored: ", std::string(restored.message())));
}

absl::StatusOr<std::string> Stager::Fetch(blob::Client* client, const v1::PackageRef& package) {
  if (package.digest().size() != kDigestBytes) {
    return absl::InvalidArgumentError("it has no digest: it was never uploaded");
  }
  const std::string hex = HexOf(package.digest());
  const std::string folder = JoinPath(cache_, hex);
  {
    MutexLock lock(&mutex_);
    while (fetching_.count(hex) > 0) changed_.Wait(&mutex_);
    if (Exists(folder)) return folder;
    fetching_.insert(hex);
  }
  const std::string temporary = absl::StrCat(folder, ".new");
  absl::Status filled = RemoveTree(temporary);
  if (filled.ok()) filled = Fill(client, package, temporary);
  if (filled.ok() && rename(temporary.c_str(), folder.c_str()) != 0) {
    filled = ErrnoError(errno, "cannot rename", temporary);
  }
  if (!filled.ok()) RemoveTree(temporary).IgnoreError();
  MutexLock lock(&mutex_);
  fetching_.erase(hex);
  changed_.NotifyAll();
  if (!filled.ok()) return filled;
  return folder;
}

absl::Status Stager::Fill(blob::Client* client, const v1::PackageRef& package,
                          const std::string& folder) {
  switch (package.kind()) {
    case v1::PackageRef::TREE: {
      const absl::Status made = MakeFolders(folder, 0755);
      return made.ok() ? client->DownloadFolder(package.digest(), folder) : made;
    }
    case v1::PackageRef::SDIST:
    case v1::PackageRef::WHEEL: {
      const std::string archive = absl::StrCat(folder, ".archive");
      absl::Status status = client->DownloadFile(package.digest(), archive);
      if (status.ok()) status = InstallArchive(archive, package.kind(), folder);
      unlink(archive.c_str());
      return status;
    }
    default:
      return absl::InvalidArgumentError(
          "its kind is unknown to this node; update the node's agent");
  }
}

}  // namespace trainyard::worker
