// See certificate.h.
#include "common/certificate.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/sha256.h"

namespace trainyard {
namespace {

constexpr absl::string_view kBegin = "-----BEGIN CERTIFICATE-----";
constexpr absl::string_view kEnd = "-----END CERTIFICATE-----";

}  // namespace

std::string PinOfPem(absl::string_view pem) {
  const size_t begin = pem.rfind(kBegin);
  if (begin == absl::string_view::npos) return "";
  const size_t body = begin + kBegin.size();
  const size_t end = pem.find(kEnd, body);
  std::string der;
  if (end == absl::string_view::npos || !absl::Base64Unescape(pem.substr(body, end - body), &der) ||
      der.empty()) {
    return "";
  }
  return HexOf(Sha256Of(der));
}

std::string JoinTokenText(absl::string_view secret, absl::string_view pin) {
  return pin.empty() ? std::string(secret) : absl::StrCat(secret, ":", pin);
}

std::pair<std::string, std::string> SplitJoinToken(absl::string_view text) {
  const size_t colon = text.find(':');
  if (colon == absl::string_view::npos) return {std::string(text), ""};
  return {std::string(text.substr(0, colon)), std::string(text.substr(colon + 1))};
}

}  // namespace trainyard
