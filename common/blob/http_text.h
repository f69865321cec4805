// Texts of the store's HTTP: errors, paths, ranges. Pure.
#ifndef TRAINYARD_COMMON_BLOB_HTTP_TEXT_H_
#define TRAINYARD_COMMON_BLOB_HTTP_TEXT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/blob/http_connection.h"

namespace trainyard::blob {

// The status with the faults that a refusing reply carries.
absl::Status ErrorOfReply(const HttpReply& reply);
// Percent-encoded, but for "/".
std::string EscapedPath(absl::string_view text);
// Size from "bytes 0-9/1234"; -1 when there is none.
int64_t TotalOfRange(absl::string_view content_range);

}  // namespace trainyard::blob

#endif  // TRAINYARD_COMMON_BLOB_HTTP_TEXT_H_
