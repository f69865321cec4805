// The pin of a certificate: what a join token carries, so that a new agent knows the scheduler's
// authority before it trusts anything. Pure.
#ifndef TRAINYARD_COMMON_CERTIFICATE_H_
#define TRAINYARD_COMMON_CERTIFICATE_H_

#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace trainyard {

// SHA-256 (hexadecimal) of the last certificate in `pem`, which is its authority, or itself when it
// is the only one. "" when there is none.
std::string PinOfPem(absl::string_view pem);

// A join token as people hand it on: the secret, and the pin behind a colon when there is one.
std::string JoinTokenText(absl::string_view secret, absl::string_view pin);
std::pair<std::string, std::string> SplitJoinToken(absl::string_view text);  // secret, pin or ""

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_CERTIFICATE_H_
