// Small helpers over spec text. Pure and thread-safe.
#ifndef TRAINYARD_COMMON_SPEC_TEXT_H_
#define TRAINYARD_COMMON_SPEC_TEXT_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace trainyard::spec {

// Offset of the first byte that no UTF-8 text has (control characters but tab and line ends count),
// npos when there is none.
size_t FirstNonText(absl::string_view text);

// At most 60 characters for a message, control characters as '?'.
std::string Shorten(absl::string_view text);

// "worker_pool_specs" -> "workerPoolSpecs"; camelCase stays.
std::string CamelOf(absl::string_view key);

// "mpi-run" -> "MPI_RUN".
std::string EnumOf(absl::string_view text);

// `text` as a job id: bad characters become '_', a letter comes first.
std::string SuggestId(absl::string_view text);

// The name that `typed` is most likely meant to be: the nearest by its letters, else the shortest
// that it is a part of (LOG of UNIT_LOG_SCALE, min of minValue) or begins like; "" if none.
std::string MeantName(absl::string_view typed, const std::vector<std::string>& names);

}  // namespace trainyard::spec

#endif  // TRAINYARD_COMMON_SPEC_TEXT_H_
