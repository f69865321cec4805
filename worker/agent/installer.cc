// See installer.h.
#include "worker/agent/installer.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/archive/archive.h"
#include "common/errors.h"
#include "common/file.h"

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

absl::Status TakeSource(const std::string& unpacked, const std::string& folder) {
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(unpacked);
  if (!names.ok()) return names.status();
  std::string top = unpacked;
  if (names->size() == 1 && IsFolder(JoinPath(unpacked, names->front()))) {
    top = JoinPath(unpacked, names->front());
  }
  if (const absl::StatusOr<std::string> setup = ReadFile(JoinPath(top, "setup.py"));
      setup.ok() && absl::StrContains(*setup, "ext_modules")) {
    return Invalid("it has code to be compiled (ext_modules in setup.py)",
                   "build a wheel for the nodes (pip wheel .) and give that with --packages");
  }
  const std::string source = JoinPath(top, "src");
  const bool below_source = IsFolder(source) && HasPython(source);
  const std::string& root = below_source ? source : top;
  if (!HasPython(root)) {
    return Invalid("it holds no Python module or package",
                   "make it with python3 setup.py sdist, or give the folder with --package-path");
  }
  return Rename(root, folder);
}

}  // namespace

absl::Status InstallArchive(const std::string& archive, v1::PackageRef::Kind kind,
                            const std::string& folder) {
  if (kind == v1::PackageRef::WHEEL) {
    const absl::StatusOr<archive::Unpacked> done = archive::UnpackArchive(archive, folder);
    return done.ok() ? Spread(folder) : done.status();
  }
  const std::string unpacked = absl::StrCat(folder, ".source");
  absl::Status status = RemoveTree(unpacked);
  if (status.ok()) status = archive::UnpackArchive(archive, unpacked).status();
  if (status.ok()) status = TakeSource(unpacked, folder);
  RemoveTree(unpacked).IgnoreError();
  return status;
}

}  // namespace trainyard::worker
