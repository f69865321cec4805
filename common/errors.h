// Errors that people meet: an absl::Status with faults (trainyard.v1.Faults) and a stable reason in
// it. Every reason is listed in errors.cc and on docs/errors.md; a test compares both. Thread-safe.
#ifndef TRAINYARD_COMMON_ERRORS_H_
#define TRAINYARD_COMMON_ERRORS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "trainyard/v1/error.pb.h"

namespace trainyard {

// One fault as an error. `reason` must be in KnownReasons(). `fix` says what to type or change; may
// be empty only where nobody can do anything.
absl::Status MakeError(absl::StatusCode code, absl::string_view reason, absl::string_view message,
                       absl::string_view fix, absl::string_view field = "");

// Several faults as one error; the message joins them, one a line. Notes (is_note) alone are OK.
absl::Status MakeError(absl::StatusCode code, const v1::Faults& faults);

// The faults inside `status`; for a plain status, one fault with its message and a reason by its
// code.
v1::Faults FaultsOf(const absl::Status& status);

// First fault's reason, "" when `status` is OK.
std::string ReasonOf(const absl::Status& status);

struct ReasonInfo {
  absl::string_view reason;
  absl::string_view meaning;  // one sentence, as on the docs page
};
const std::vector<ReasonInfo>& KnownReasons();

// "file:3:7: message (expected ...). Fix: ..." for people; several faults, one a line.
std::string FormatFaults(const v1::Faults& faults);

// Name among `names` nearest to `typed` by Damerau-Levenshtein distance at most 2 (and less than
// its length), "" if none.
std::string NearestName(absl::string_view typed, const std::vector<std::string>& names);

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_ERRORS_H_
