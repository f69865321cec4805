// Source distributions and wheels, made importable below a folder of ours. Pure Python code is only
// unpacked; nothing of a package is run. Blocking; any thread.
#ifndef TRAINYARD_WORKER_AGENT_INSTALLER_H_
#define TRAINYARD_WORKER_AGENT_INSTALLER_H_

#include <string>

#include "absl/status/status.h"
#include "trainyard/v1/spec.pb.h"

namespace trainyard::worker {

// Unpacks `archive` so that `folder` (absent before) can stand on Python's path. A wheel's contents
// go there as they are, its purelib and platlib among them; of a source distribution what is below
// its one top folder, or below src/ there when that is where the code lies. PACKAGE_INVALID when it
// is no such archive, holds unsafe names or has code to be compiled.
absl::Status InstallArchive(const std::string& archive, v1::PackageRef::Kind kind,
                            const std::string& folder);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_INSTALLER_H_
