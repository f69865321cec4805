// See arguments.h.
#include "client/cli/arguments.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/errors.h"

namespace trainyard::cli {
namespace {

absl::Status BadValue(const std::string& flag, const std::string& value,
                      absl::string_view expected) {
  return UsageError(absl::StrCat("\"", value, "\" is not ", expected),
                    absl::StrCat("give ", expected), absl::StrCat("--", flag));
}

}  // namespace

absl::Status UsageError(absl::string_view message, absl::string_view fix, absl::string_view field) {
  return MakeError(absl::StatusCode::kInvalidArgument, "USAGE", message, fix, field);
}

absl::Status AtField(const absl::Status& status, absl::string_view field) {
  if (status.ok()) return status;
  v1::Faults faults = FaultsOf(status);
  for (v1::Fault& fault : *faults.mutable_faults()) fault.set_field(std::string(field));
  return MakeError(status.code(), faults);
}

absl::Status InFlags(const absl::Status& status,
                     std::initializer_list<std::pair<absl::string_view, absl::string_view>> flags) {
  if (status.ok()) return status;
  v1::Faults faults = FaultsOf(status);
  for (v1::Fault& fault : *faults.mutable_faults()) {
    for (const auto& [field, flag] : flags) {
      if (!absl::StartsWith(fault.field(), field)) continue;
      fault.set_field(std::string(flag));
      break;
    }
  }
  return MakeError(status.code(), faults);
}

std::string Arguments::Get(const std::string& flag, const std::string& fallback) const {
  const auto found = flags_.find(flag);
  return found == flags_.end() ? fallback : found->second.back();
}

std::vector<std::string> Arguments::All(const std::string& flag) const {
  const auto found = flags_.find(flag);
  return found == flags_.end() ? std::vector<std::string>() : found->second;
}

std::vector<std::string> Arguments::List(const std::string& flag) const {
  std::vector<std::string> out;
  for (const std::string& value : All(flag)) {
    for (absl::string_view part : absl::StrSplit(value, ',', absl::SkipEmpty())) {
      out.emplace_back(part);
    }
  }
  return out;
}

absl::StatusOr<std::map<std::string, std::string>> Arguments::Pairs(const std::string& flag) const {
  std::map<std::string, std::string> out;
  for (const std::string& part : List(flag)) {
    const size_t equals = part.find('=');
    if (equals == std::string::npos || equals == 0) {
      return BadValue(flag, part, "a KEY=VALUE pair");
    }
    out[part.substr(0, equals)] = part.substr(equals + 1);
  }
  return out;
}

absl::StatusOr<int64_t> Arguments::Int(const std::string& flag, int64_t fallback, int64_t min,
                                       int64_t max) const {
  if (!Has(flag)) return fallback;
  int64_t value = 0;
  if (!absl::SimpleAtoi(Get(flag), &value) || value < min || value > max) {
    const std::string range = max == INT64_MAX
                                  ? absl::StrCat("a whole number from ", min)
                                  : absl::StrCat("a whole number from ", min, " to ", max);
    return BadValue(flag, Get(flag), range);
  }
  return value;
}

absl::StatusOr<double> Arguments::Number(const std::string& flag, double fallback) const {
  if (!Has(flag)) return fallback;
  double value = 0;
  if (!absl::SimpleAtod(Get(flag), &value)) return BadValue(flag, Get(flag), "a number");
  return value;
}

absl::StatusOr<absl::Duration> Arguments::Duration(const std::string& flag,
                                                   absl::Duration fallback) const {
  if (!Has(flag)) return fallback;
  const std::string text = Get(flag);
  double seconds = 0;
  if (absl::SimpleAtod(text, &seconds) && seconds >= 0) return absl::Seconds(seconds);
  double scale = 1;
  std::string plain = text;
  if (!text.empty() && text.back() == 'd') {  // absl knows no days
    plain.back() = 'h';
    scale = 24;
  }
  absl::Duration duration;
  if (!absl::ParseDuration(plain, &duration) || duration < absl::ZeroDuration()) {
    return BadValue(flag, text, "a duration such as 90s, 10m, 1.5h or 2d");
  }
  return duration * scale;
}

std::string Arguments::Word(size_t index) const {
  return index < words_.size() ? words_[index] : std::string();
}

}  // namespace trainyard::cli
