// Signed grants: short texts that say what their holder may do, checked without a look-up. Used for
// the store's HTTP (upload and download) and as the token of a running attempt. Thread-safe.
//
// Text: "tg_" + base64url(claims as "key=value" lines, sorted) + "." +
// base64url(HMAC-SHA256(secret, claims)).
#ifndef TRAINYARD_COMMON_GRANT_H_
#define TRAINYARD_COMMON_GRANT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace trainyard {

struct Grant {
  std::string kind;       // "upload", "download" (both may read), "attempt" (both, for its epoch)
  std::string project;    // what it is limited to
  std::string principal;  // who asked
  uint64_t run_uid = 0;   // of an attempt
  uint64_t epoch = 0;
  absl::Time expire = absl::InfiniteFuture();
};

// `secret`: at least 32 bytes. No field may hold a line end.
std::string SignGrant(const Grant& grant, absl::string_view secret);
// UNAUTHENTICATED (reason GRANT_INVALID) for a wrong signature, form or an expired grant.
absl::StatusOr<Grant> VerifyGrant(absl::string_view text, absl::string_view secret, absl::Time now);

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_GRANT_H_
