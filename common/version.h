// The version of this build, and which versions work together: neighbours by one minor version of
// the same major one. Pure and thread-safe.
#ifndef TRAINYARD_COMMON_VERSION_H_
#define TRAINYARD_COMMON_VERSION_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace trainyard {

// "0.1.0"
std::string BuildVersion();

// Name of the gRPC metadata in which a client tells its version.
inline constexpr char kClientVersionKey[] = "trainyard-client-version";

// OK for neighbours and for a text that is no version; else VERSION_MISMATCH that says which of the
// two to update.
absl::Status CheckNeighbours(absl::string_view client, absl::string_view scheduler);

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_VERSION_H_
