// See http_target.h.
#include "scheduler/store/http_target.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace trainyard::store {
namespace {

bool Decode(absl::string_view text, std::string* out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      *out += text[i];
      continue;
    }
    if (i + 2 >= text.size() || !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 1])) ||
        !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 2]))) {
      return false;
    }
    *out += absl::HexStringToBytes(text.substr(i + 1, 2));
    i += 2;
  }
  return true;
}

bool GoodPart(absl::string_view part) {
  return !part.empty() && part != "." && part != ".." &&
         part.find('/') == absl::string_view::npos && part.find('\0') == absl::string_view::npos;
}

}  // namespace

std::string HttpTarget::Query(absl::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return "";
}

bool ParseTarget(absl::string_view text, HttpTarget* target) {
  if (text.find('#') != absl::string_view::npos || !absl::ConsumePrefix(&text, "/")) return false;
  const std::pair<absl::string_view, absl::string_view> halves =
      absl::StrSplit(text, absl::MaxSplits('?', 1));
  for (absl::string_view raw : absl::StrSplit(halves.first, '/')) {
    std::string part;
    if (!Decode(raw, &part) || !GoodPart(part)) return false;
    target->parts.push_back(std::move(part));
  }
  for (absl::string_view raw : absl::StrSplit(halves.second, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(raw, absl::MaxSplits('=', 1));
    std::string key, value;
    if (!Decode(pair.first, &key) || !Decode(pair.second, &value)) return false;
    target->query.emplace_back(std::move(key), std::move(value));
  }
  return true;
}

}  // namespace trainyard::store
