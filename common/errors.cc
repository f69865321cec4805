// See errors.h.
#include "common/errors.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace trainyard {
namespace {

constexpr absl::string_view kFaultsUrl = "type.googleapis.com/trainyard.v1.Faults";

absl::string_view ReasonByCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case absl::StatusCode::kNotFound:
      return "NOT_FOUND";
    case absl::StatusCode::kAlreadyExists:
      return "ALREADY_EXISTS";
    case absl::StatusCode::kPermissionDenied:
      return "PERMISSION_DENIED";
    case absl::StatusCode::kUnauthenticated:
      return "UNAUTHENTICATED";
    case absl::StatusCode::kResourceExhausted:
      return "RESOURCE_EXHAUSTED";
    case absl::StatusCode::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case absl::StatusCode::kUnavailable:
      return "UNAVAILABLE";
    case absl::StatusCode::kDeadlineExceeded:
      return "TIMED_OUT";
    case absl::StatusCode::kAborted:
      return "ABORTED";
    default:
      return "INTERNAL";
  }
}

size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + cost});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

std::string FormatFault(const v1::Fault& fault) {
  std::string out;
  if (!fault.file().empty()) absl::StrAppend(&out, fault.file(), ":");
  if (fault.line() > 0) absl::StrAppend(&out, fault.line(), ":", fault.column(), ":");
  if (!out.empty()) out += ' ';
  if (fault.is_note()) out += "note: ";
  if (!fault.field().empty()) absl::StrAppend(&out, fault.field(), ": ");
  out += fault.message();
  if (!fault.expected().empty()) absl::StrAppend(&out, "; expected ", fault.expected());
  if (!fault.fix().empty()) absl::StrAppend(&out, "\n  fix: ", fault.fix());
  return out;
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, absl::string_view reason, absl::string_view message,
                       absl::string_view fix, absl::string_view field) {
  v1::Faults faults;
  v1::Fault* fault = faults.add_faults();
  fault->set_reason(std::string(reason));
  fault->set_message(std::string(message));
  fault->set_fix(std::string(fix));
  fault->set_field(std::string(field));
  return MakeError(code, faults);
}

absl::Status MakeError(absl::StatusCode code, const v1::Faults& faults) {
  const bool only_notes = std::all_of(faults.faults().begin(), faults.faults().end(),
                                      [](const v1::Fault& f) { return f.is_note(); });
  if (only_notes) return absl::OkStatus();
  absl::Status status(code, FormatFaults(faults));
  status.SetPayload(kFaultsUrl, absl::Cord(faults.SerializeAsString()));
  return status;
}

v1::Faults FaultsOf(const absl::Status& status) {
  v1::Faults faults;
  if (status.ok()) return faults;
  if (const auto payload = status.GetPayload(kFaultsUrl);
      payload.has_value() && faults.ParseFromString(std::string(*payload))) {
    return faults;
  }
  v1::Fault* fault = faults.add_faults();
  fault->set_reason(std::string(ReasonByCode(status.code())));
  fault->set_message(std::string(status.message()));
  return faults;
}

std::string ReasonOf(const absl::Status& status) {
  const v1::Faults faults = FaultsOf(status);
  for (const v1::Fault& fault : faults.faults()) {
    if (!fault.is_note()) return fault.reason();
  }
  return "";
}

std::string FormatFaults(const v1::Faults& faults) {
  std::string out;
  for (const v1::Fault& fault : faults.faults()) {
    if (!out.empty()) out += '\n';
    out += FormatFault(fault);
  }
  return out;
}

namespace {

size_t CommonStart(absl::string_view a, absl::string_view b) {
  size_t n = 0;
  while (n < a.size() && n < b.size() && a[n] == b[n]) ++n;
  return n;
}

}  // namespace

std::string NearestName(absl::string_view typed, const std::vector<std::string>& names) {
  std::string best;
  size_t best_distance = 3;
  for (const std::string& name : names) {
    // The distance is at least the difference in length; long texts must cost nothing.
    if (std::max(typed.size(), name.size()) - std::min(typed.size(), name.size()) > 2) continue;
    const size_t distance = EditDistance(typed, name);
    const bool nearer =
        distance < best_distance || (distance == best_distance && distance < 3 &&
                                     CommonStart(typed, name) > CommonStart(typed, best));
    if (nearer && distance < name.size()) {
      best = name;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace trainyard
