// See bytes.h.
#include "common/spec/bytes.h"

#include <cmath>
#include <map>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"

namespace trainyard::spec {

std::optional<int64_t> ParseBytes(absl::string_view text) {
  static const std::map<std::string, double>* const units = new std::map<std::string, double>{
      {"", 1},         {"b", 1},         {"k", 1e3},         {"kb", 1e3},
      {"m", 1e6},      {"mb", 1e6},      {"g", 1e9},         {"gb", 1e9},
      {"t", 1e12},     {"tb", 1e12},     {"ki", 1024},       {"kib", 1024},
      {"mi", 1048576}, {"mib", 1048576}, {"gi", 1073741824}, {"gib", 1073741824},
      {"ti", 0x1p40},  {"tib", 0x1p40},
  };
  const size_t end = text.find_first_not_of("0123456789.");
  const absl::string_view digits = text.substr(0, end);
  const absl::string_view unit = end == text.npos ? "" : text.substr(end);
  double number = 0;
  if (digits.empty() || !absl::SimpleAtod(digits, &number)) return std::nullopt;
  const auto it = units->find(absl::AsciiStrToLower(absl::StripAsciiWhitespace(unit)));
  if (it == units->end()) return std::nullopt;
  const double bytes = number * it->second;
  if (!(bytes >= 0 && bytes < 9e18)) return std::nullopt;
  return std::llround(bytes);
}

}  // namespace trainyard::spec
