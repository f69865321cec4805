// Packages of all kinds made importable below a folder of ours: pure Python code that asks for no
// installation is only unpacked; what has a setup.py or pyproject.toml is installed by the node's
// pip. Blocking; any thread.
#ifndef TRAINYARD_WORKER_AGENT_INSTALLER_H_
#define TRAINYARD_WORKER_AGENT_INSTALLER_H_

#include <string>

#include "absl/status/status.h"
#include "trainyard/v1/spec.pb.h"
#include "worker/agent/pip.h"

namespace trainyard::worker {

// What of a package is fetched already: a folder (TREE) or the archive (SDIST, WHEEL).
struct FetchedPackage {
  v1::PackageRef::Kind kind = v1::PackageRef::TREE;
  std::string file_name;  // as in PackageRef
  std::string path;
};

// A folder that has to be installed: its author has a setup.py or pyproject.toml beside it.
bool IsProject(v1::PackageRef::Kind kind, const std::string& file_name);

// Whether installing it runs code of its own, by its kind and name alone: then the result depends
// on the user and the interpreter too.
bool MayRunCode(const v1::PackageRef& package);

// Makes of `fetched` (which is used up) the folder `folder` (absent before) that can stand on
// Python's path. A wheel for any machine goes there as it is, its purelib and platlib among it; of
// a source distribution without setup.py and pyproject.toml what is below its one top folder, or
// below src/ there when that is where the code lies. Everything else pip installs, by
// `options.user_id` in `folder`.build. PACKAGE_INVALID when it is no such archive, holds unsafe
// names, or pip fails; DEADLINE_EXCEEDED.
absl::Status InstallPackage(const FetchedPackage& fetched, const std::string& folder,
                            const PipOptions& options);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_INSTALLER_H_
