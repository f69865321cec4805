// See installer.h.
#include "worker/agent/installer.h"

namespace trainyard::worker {

absl::Status InstallArchive(const std::string&, v1::PackageRef::Kind, const std::string&) {
  return absl::UnimplementedError("archives are not supported by this node");
}

}  // namespace trainyard::worker
