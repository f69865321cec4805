// Source distributions and wheels, made importable below a folder of ours. Pure Python code is only
// unpacked; nothing of a package is run. Blocking; any thread.
#ifndef TRAINYARD_WORKER_AGENT_INSTALLER_H_
#define TRAINYARD_WORKER_AGENT_INSTALLER_H_

#include <string>

#include "absl/status/status.h"
#include "trainyard/v1/spec.pb.h"

namespace trainyard::worker {

// Unpacks `archive` so that `folder` (empty, existing) can stand on Python's path. A wheel's
// contents go there as they are; of a source distribution, what is below its one top folder (below
// src/ there when the packages lie in it). PACKAGE_INVALID when it is no such archive, holds unsafe
// names, or needs a compiler.
absl::Status InstallArchive(const std::string& archive, v1::PackageRef::Kind kind,
                            const std::string& folder);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_INSTALLER_H_
