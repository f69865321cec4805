// See text.h.
#include "common/spec/text.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"

namespace trainyard::spec {
namespace {

constexpr size_t kShownMax = 60;
constexpr size_t kPartBytesMin = 3;
constexpr size_t kSharedBytesMin = 5;

size_t SharedBytes(absl::string_view a, absl::string_view b) {
  size_t shared = 0;
  while (shared < a.size() && shared < b.size() && a[shared] == b[shared]) ++shared;
  return shared;
}

// Bytes of the UTF-8 sequence at `text[i]`, 0 when it is not valid.
size_t SequenceBytes(absl::string_view text, size_t i) {
  const auto byte = [&text](size_t at) -> unsigned {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : 0;
  };
  const auto continues = [&byte](size_t at) { return (byte(at) & 0xc0) == 0x80; };
  const unsigned first = byte(i);
  if (first < 0x80) {
    return first >= 0x20 || first == '\t' || first == '\n' || first == '\r' ? 1 : 0;
  }
  if (first >= 0xc2 && first <= 0xdf) return continues(i + 1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const bool overlong = first == 0xe0 && byte(i + 1) < 0xa0;
    const bool surrogate = first == 0xed && byte(i + 1) > 0x9f;
    return continues(i + 1) && continues(i + 2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool overlong = first == 0xf0 && byte(i + 1) < 0x90;
    const bool beyond = first == 0xf4 && byte(i + 1) > 0x8f;
    const bool good = continues(i + 1) && continues(i + 2) && continues(i + 3);
    return good && !overlong && !beyond ? 4 : 0;
  }
  return 0;
}

}  // namespace

size_t FirstNonText(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t bytes = SequenceBytes(text, i);
    if (bytes == 0) return i;
    i += bytes;
  }
  return absl::string_view::npos;
}

std::string Shorten(absl::string_view text) {
  size_t end = text.size();
  if (end > kShownMax) {
    end = kShownMax - 3;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  }
  std::string out(text.substr(0, end));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  if (end < text.size()) out += "...";
  return out;
}

std::string CamelOf(absl::string_view key) {
  std::string out;
  bool raise = false;
  for (char c : key) {
    if (c == '_' && !out.empty()) {
      raise = true;
      continue;
    }
    out += raise ? absl::ascii_toupper(static_cast<unsigned char>(c)) : c;
    raise = false;
  }
  return out;
}

std::string EnumOf(absl::string_view text) {
  std::string out;
  for (char c : text) out += c == '-' ? '_' : absl::ascii_toupper(static_cast<unsigned char>(c));
  return out;
}

std::string MeantName(absl::string_view typed, const std::vector<std::string>& names) {
  if (std::string nearest = NearestName(typed, names); !nearest.empty()) return nearest;
  const std::string lower = absl::AsciiStrToLower(typed);
  if (lower.size() < kPartBytesMin) return "";
  std::string part;
  std::string like;
  for (const std::string& name : names) {
    const std::string other = absl::AsciiStrToLower(name);
    const bool inside = absl::StrContains(other, lower);
    if (inside && (part.empty() || name.size() < part.size())) part = name;
    const bool begins = SharedBytes(lower, other) >= kSharedBytesMin;
    if (begins && (like.empty() || name.size() < like.size())) like = name;
  }
  return part.empty() ? like : part;
}

std::string SuggestId(absl::string_view text) {
  std::string out;
  for (char c : text.substr(0, 100)) {
    out += absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' ? c : '_';
  }
  if (out.empty() || !absl::ascii_isalpha(static_cast<unsigned char>(out[0]))) {
    out = absl::StrCat("job_", out);
  }
  return out;
}

}  // namespace trainyard::spec
