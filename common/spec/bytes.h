// Amounts of memory as people write them. Pure and thread-safe.
#ifndef TRAINYARD_COMMON_SPEC_BYTES_H_
#define TRAINYARD_COMMON_SPEC_BYTES_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace trainyard::spec {

// "512MiB", "4Gi", "1.5GB", "1000" (bytes). Nothing for anything else and for negative amounts.
std::optional<int64_t> ParseBytes(absl::string_view text);

}  // namespace trainyard::spec

#endif  // TRAINYARD_COMMON_SPEC_BYTES_H_
