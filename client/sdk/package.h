// What a program brings along: folders and files found on this machine, checked before anything is
// sent, and uploaded once per content.
//
// Invariants: a folder is sent as a tree whose root is what Python's path gets; version control,
// caches, virtual environments and our own state folder stay behind. Plans touch the disk only;
// uploading talks to the store. Thread-compatible.
#ifndef TRAINYARD_CLIENT_SDK_PACKAGE_H_
#define TRAINYARD_CLIENT_SDK_PACKAGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/sdk/client.h"
#include "trainyard/v1/spec.pb.h"

namespace trainyard::client {

struct PackagePlan {
  v1::PackageRef::Kind kind = v1::PackageRef::TREE;
  std::string build_file;         // TREE: setup.py or pyproject.toml when nodes have to install it
  std::string uri;                // as the user wrote it
  std::string folder;             // TREE: absolute path of its root
  std::vector<std::string> only;  // TREE: what of the root is taken; empty: everything
  std::string file;               // SDIST, WHEEL
};

// --package-path: the root is the parent folder, of which the package alone is taken, or, beside a
// setup.py or pyproject.toml, all that belongs to that project, which the nodes install.
// PACKAGE_NOT_FOUND, PACKAGE_INVALID.
absl::StatusOr<PackagePlan> PlanPackagePath(const std::string& path);
// One of --packages: *.tar.gz, *.zip or *.whl. PACKAGE_NOT_FOUND, PACKAGE_INVALID.
absl::StatusOr<PackagePlan> PlanPackageFile(const std::string& path);
// Everything of a folder, as `run` takes it; `state_folder` stays behind.
absl::StatusOr<PackagePlan> PlanFolder(const std::string& folder, const std::string& state_folder);

// Whether "python3 -m module" finds the module in the trees. MODULE_NOT_FOUND lists what is there.
// OK when only an installation can tell: for archives, and for projects without a folder of the
// module's name.
absl::Status CheckModule(const std::string& module, const std::vector<PackagePlan>& plans);

struct Uploaded {
  std::vector<v1::PackageRef> packages;  // as the plans
  int64_t bytes_sent = 0;
  int64_t bytes_total = 0;
  std::vector<std::string> left_out;  // of folders, with the reason
};
// Asks for a grant and sends what the store lacks. `parent`: projects/{p}.
absl::StatusOr<Uploaded> UploadPackages(Client* client, const std::string& parent,
                                        const std::vector<PackagePlan>& plans);

}  // namespace trainyard::client

#endif  // TRAINYARD_CLIENT_SDK_PACKAGE_H_
