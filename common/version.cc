// See version.h.
#include "common/version.h"

#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/errors.h"

namespace trainyard {
namespace {

using Numbers = std::pair<int, int>;  // major, minor

std::optional<Numbers> NumbersOf(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  Numbers numbers;
  if (parts.size() < 2 || !absl::SimpleAtoi(parts[0], &numbers.first) ||
      !absl::SimpleAtoi(parts[1], &numbers.second)) {
    return std::nullopt;
  }
  return numbers;
}

}  // namespace

std::string BuildVersion() { return TRAINYARD_VERSION; }

absl::Status CheckNeighbours(absl::string_view client, absl::string_view scheduler) {
  const std::optional<Numbers> ours = NumbersOf(client);
  const std::optional<Numbers> theirs = NumbersOf(scheduler);
  if (!ours.has_value() || !theirs.has_value()) return absl::OkStatus();
  if (ours->first == theirs->first && std::abs(ours->second - theirs->second) <= 1) {
    return absl::OkStatus();
  }
  const bool client_is_older = *ours < *theirs;
  return MakeError(absl::StatusCode::kFailedPrecondition, "VERSION_MISMATCH",
                   absl::StrCat("this client is version ", client, ", the scheduler ", scheduler,
                                ": they are more than one minor version apart"),
                   client_is_older ? absl::StrCat("install the client of version ", scheduler,
                                                  "; both sides: trainyard version")
                                   : absl::StrCat("have the scheduler updated to version ", client,
                                                  ", or use a client of version ", scheduler,
                                                  "; both sides: trainyard version"));
}

}  // namespace trainyard
