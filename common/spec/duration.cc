// Durations as people write them: a number with a unit, several in a row, or plain seconds.
#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/spec/spec.h"
#include "common/spec/text.h"

namespace trainyard::spec {
namespace {

// 10,000 years: what google.protobuf.Duration can hold.
constexpr double kSecondsMax = 315'576'000'000;

size_t EndOf(absl::string_view text, bool (*in_class)(unsigned char)) {
  size_t end = 0;
  while (end < text.size() && in_class(static_cast<unsigned char>(text[end]))) ++end;
  return end;
}

bool IsNumberByte(unsigned char c) { return absl::ascii_isdigit(c) || c == '.'; }
bool IsUnitByte(unsigned char c) { return absl::ascii_isalpha(c); }

double UnitSeconds(absl::string_view unit) {
  if (unit == "ms") return 0.001;
  if (unit == "s") return 1;
  if (unit == "m") return 60;
  if (unit == "h") return 3600;
  if (unit == "d") return 86400;
  return 0;
}

// "5 mins" -> "5m"; "" when nothing sensible is near.
std::string Suggest(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  const size_t digits = EndOf(text, IsNumberByte);
  double number = 0;
  if (digits == 0 || !absl::SimpleAtod(text.substr(0, digits), &number)) return "";
  const absl::string_view rest = absl::StripLeadingAsciiWhitespace(text.substr(digits));
  const char first = rest.empty() ? 's' : absl::ascii_tolower(static_cast<unsigned char>(rest[0]));
  if (std::string("smhd").find(first) == std::string::npos) return "";
  return absl::StrCat(text.substr(0, digits), std::string(1, first));
}

absl::Status Bad(absl::string_view text) {
  const std::string suggestion = Suggest(text);
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_DURATION",
                   absl::StrCat("\"", Shorten(text), "\" is no duration"),
                   suggestion.empty() ? "write a number with a unit: 300s, 10m, 1.5h or 2d"
                                      : absl::StrCat("write ", suggestion));
}

absl::Status TooLong(absl::string_view text) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_DURATION",
                   absl::StrCat("\"", Shorten(text), "\" is too long a duration"),
                   "write at most 36500d; for no limit leave it out");
}

}  // namespace

absl::StatusOr<double> ParseDurationSeconds(absl::string_view text) {
  double seconds = 0;
  if (text.empty()) return Bad(text);
  if (EndOf(text, IsNumberByte) == text.size()) {
    if (!absl::SimpleAtod(text, &seconds)) return Bad(text);
    if (seconds > kSecondsMax) return TooLong(text);
    return seconds;
  }
  absl::string_view rest = text;
  while (!rest.empty()) {
    const size_t digits = EndOf(rest, IsNumberByte);
    double number = 0;
    if (digits == 0 || !absl::SimpleAtod(rest.substr(0, digits), &number)) return Bad(text);
    rest.remove_prefix(digits);
    const size_t letters = EndOf(rest, IsUnitByte);
    const double unit = UnitSeconds(rest.substr(0, letters));
    if (unit == 0) return Bad(text);
    rest.remove_prefix(letters);
    seconds += number * unit;
  }
  if (!std::isfinite(seconds) || seconds > kSecondsMax) return TooLong(text);
  return seconds;
}

}  // namespace trainyard::spec
