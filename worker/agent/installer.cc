// See installer.h.
#include "worker/agent/installer.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/archive/archive.h"
#include "common/errors.h"
#include "common/file.h"
#include "worker/agent/copy_folder.h"

namespace trainyard::worker {
namespace {

absl::Status Invalid(const std::string& what, const std::string& fix) {
  return MakeError(absl::StatusCode::kInvalidArgument, "PACKAGE_INVALID", what, fix);
}

bool IsFolder(const std::string& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

absl::Status Rename(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return ErrnoError(errno, "cannot rename", from);
}

// Whether `folder` directly holds a module or a package.
bool HasPython(const std::string& folder) {
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(folder);
  if (!names.ok()) return false;
  return std::any_of(names->begin(), names->end(), [&folder](const std::string& name) {
    return absl::EndsWith(name, ".py") || Exists(JoinPath(JoinPath(folder, name), "__init__.py"));
  });
}

// NAME.data/purelib and platlib belong beside the rest.
absl::Status Spread(const std::string& folder) {
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(folder);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (!absl::EndsWith(name, ".data")) continue;
    for (const char* part : {"purelib", "platlib"}) {
      const std::string from = JoinPath(JoinPath(folder, name), part);
      if (!IsFolder(from)) continue;
      const absl::StatusOr<std::vector<std::string>> inside = ListFolder(from);
      if (!inside.ok()) return inside.status();
      for (const std::string& one : *inside) {
        const absl::Status moved = Rename(JoinPath(from, one), JoinPath(folder, one));
        if (!moved.ok()) return moved;
      }
    }
  }
  return absl::OkStatus();
}

// The folder of a source distribution that holds its files.
absl::StatusOr<std::string> TopOf(const std::string& unpacked) {
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(unpacked);
  if (!names.ok()) return names.status();
  if (names->size() != 1 || !IsFolder(JoinPath(unpacked, names->front()))) return unpacked;
  return JoinPath(unpacked, names->front());
}

bool WantsInstallation(const std::string& top) {
  return Exists(JoinPath(top, "setup.py")) || Exists(JoinPath(top, "pyproject.toml"));
}

absl::Status TakeSource(const std::string& top, const std::string& folder) {
  const std::string source = JoinPath(top, "src");
  const bool below_source = IsFolder(source) && HasPython(source);
  const std::string& root = below_source ? source : top;
  if (!HasPython(root)) {
    return Invalid("it holds no Python module or package",
                   "make it with python3 setup.py sdist, or give the folder with --package-path");
  }
  return Rename(root, folder);
}

// Pure Python for any machine, by the rule of its name: ...-py3-none-any.whl.
bool IsForAnyMachine(const std::string& wheel) { return absl::EndsWith(wheel, "-none-any.whl"); }

// Where a build happens: all of it belongs to the user whose code runs.
class BuildFolder {
 public:
  BuildFolder(std::string path, const PipOptions& options)
      : path_(std::move(path)), options_(options) {}
  ~BuildFolder() { RemoveTree(path_).IgnoreError(); }
  BuildFolder(const BuildFolder&) = delete;
  BuildFolder& operator=(const BuildFolder&) = delete;

  absl::Status Make() {
    absl::Status status = RemoveTree(path_);
    if (status.ok()) status = MakeFolders(path_, 0711);
    if (status.ok()) status = MakeFolders(In("installed"), 0755);
    return status.ok() ? GiveAway(In("installed")) : status;
  }
  // `source` installed into In("installed").
  absl::Status Install(const std::string& source) {
    if (absl::Status given = GiveTree(source); !given.ok()) return given;
    return PipInstall(source, In("installed"), In("log"), options_);
  }
  std::string In(const std::string& name) const { return JoinPath(path_, name); }

 private:
  absl::Status GiveAway(const std::string& path) const {
    if (options_.user_id < 0 || lchown(path.c_str(), static_cast<uid_t>(options_.user_id),
                                       static_cast<gid_t>(options_.group_id)) == 0) {
      return absl::OkStatus();
    }
    return ErrnoError(errno, "cannot hand over", path);
  }
  // Nothing of the user's runs yet: nobody changes what is walked through.
  absl::Status GiveTree(const std::string& path) const {
    if (options_.user_id < 0) return absl::OkStatus();
    if (IsFolder(path)) {
      const absl::StatusOr<std::vector<std::string>> names = ListFolder(path);
      if (!names.ok()) return names.status();
      for (const std::string& name : *names) {
        if (absl::Status given = GiveTree(JoinPath(path, name)); !given.ok()) return given;
      }
    }
    return GiveAway(path);
  }

  const std::string path_;
  const PipOptions& options_;
};

// `source` by pip; the result is copied out of the reach of whoever built it.
absl::Status InstallByPip(BuildFolder* build, const std::string& source, const std::string& folder,
                          const PipOptions& options) {
  if (absl::Status installed = build->Install(source); !installed.ok()) return installed;
  if (options.user_id < 0) return Rename(build->In("installed"), folder);
  CopyOptions copy;
  copy.from_user = options.user_id;
  return CopyFolder(build->In("installed"), folder, copy);
}

absl::Status InstallSource(const FetchedPackage& fetched, const std::string& folder,
                           const PipOptions& options) {
  BuildFolder build(folder + ".build", options);
  if (absl::Status made = build.Make(); !made.ok()) return made;
  const std::string source = build.In("source");
  absl::Status status = fetched.kind == v1::PackageRef::SDIST
                            ? archive::UnpackArchive(fetched.path, source).status()
                            : Rename(fetched.path, source);
  if (!status.ok()) return status;
  const absl::StatusOr<std::string> top = TopOf(source);
  if (!top.ok()) return top.status();
  if (!WantsInstallation(*top)) return TakeSource(*top, folder);
  return InstallByPip(&build, *top, folder, options);
}

absl::Status InstallWheel(const FetchedPackage& fetched, const std::string& folder,
                          const PipOptions& options) {
  if (IsForAnyMachine(fetched.file_name)) {
    const absl::StatusOr<archive::Unpacked> done = archive::UnpackArchive(fetched.path, folder);
    return done.ok() ? Spread(folder) : done.status();
  }
  // pip reads a wheel's name: what machine and interpreter it is for stands there.
  const std::string& name = fetched.file_name;
  if (!absl::EndsWith(name, ".whl") || name.find('/') != std::string::npos || name[0] == '.') {
    return Invalid(absl::StrCat("\"", name, "\" is no name of a wheel"),
                   "keep the name that it was built with");
  }
  BuildFolder build(folder + ".build", options);
  if (absl::Status made = build.Make(); !made.ok()) return made;
  const std::string wheel = build.In(name);
  if (absl::Status named = Rename(fetched.path, wheel); !named.ok()) return named;
  return InstallByPip(&build, wheel, folder, options);
}

}  // namespace

bool IsProject(v1::PackageRef::Kind kind, const std::string& file_name) {
  return kind == v1::PackageRef::TREE && !file_name.empty();
}

bool MayRunCode(const v1::PackageRef& package) {
  switch (package.kind()) {
    case v1::PackageRef::SDIST:
      return true;
    case v1::PackageRef::TREE:
      return IsProject(package.kind(), package.file_name());
    case v1::PackageRef::WHEEL:
      return !IsForAnyMachine(package.file_name());
    default:
      return false;
  }
}

absl::Status InstallPackage(const FetchedPackage& fetched, const std::string& folder,
                            const PipOptions& options) {
  switch (fetched.kind) {
    case v1::PackageRef::TREE:
      return IsProject(fetched.kind, fetched.file_name) ? InstallSource(fetched, folder, options)
                                                        : Rename(fetched.path, folder);
    case v1::PackageRef::SDIST:
      return InstallSource(fetched, folder, options);
    case v1::PackageRef::WHEEL:
      return InstallWheel(fetched, folder, options);
    default:
      return absl::UnimplementedError("its kind is unknown to this node; update the node's agent");
  }
}

}  // namespace trainyard::worker
