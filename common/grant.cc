// See grant.h.
#include "common/grant.h"

#include <map>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/errors.h"
#include "common/sha256.h"

namespace trainyard {
namespace {

absl::Status Refuse(absl::string_view why) {
  return MakeError(absl::StatusCode::kUnauthenticated, "GRANT_INVALID",
                   absl::StrCat("the grant is refused: ", why), "ask the scheduler for a new one");
}

}  // namespace

std::string SignGrant(const Grant& grant, absl::string_view secret) {
  const int64_t expire =
      grant.expire == absl::InfiniteFuture() ? 0 : absl::ToUnixMicros(grant.expire);
  const std::string claims = absl::StrCat(
      "epoch=", grant.epoch, "\nexpire=", expire, "\nkind=", grant.kind,
      "\nprincipal=", grant.principal, "\nproject=", grant.project, "\nrun=", grant.run_uid, "\n");
  return absl::StrCat("tg_", absl::WebSafeBase64Escape(claims), ".",
                      absl::WebSafeBase64Escape(HmacSha256(secret, claims)));
}

absl::StatusOr<Grant> VerifyGrant(absl::string_view text, absl::string_view secret,
                                  absl::Time now) {
  if (!absl::ConsumePrefix(&text, "tg_")) return Refuse("it is no grant");
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  std::string claims;
  std::string mac;
  if (parts.size() != 2 || !absl::WebSafeBase64Unescape(parts[0], &claims) ||
      !absl::WebSafeBase64Unescape(parts[1], &mac)) {
    return Refuse("it is damaged");
  }
  if (!EqualConstantTime(mac, HmacSha256(secret, claims))) return Refuse("its signature is wrong");
  std::map<std::string, std::string> fields;
  for (absl::string_view line : absl::StrSplit(claims, '\n', absl::SkipEmpty())) {
    // A field that held a line end would say another one twice.
    if (!fields.insert(absl::StrSplit(line, absl::MaxSplits('=', 1))).second) {
      return Refuse("it says a thing twice");
    }
  }
  Grant grant;
  int64_t expire = 0;
  if (!absl::SimpleAtoi(fields["epoch"], &grant.epoch) ||
      !absl::SimpleAtoi(fields["run"], &grant.run_uid) ||
      !absl::SimpleAtoi(fields["expire"], &expire)) {
    return Refuse("its claims are damaged");
  }
  grant.kind = fields["kind"];
  grant.project = fields["project"];
  grant.principal = fields["principal"];
  if (expire != 0) grant.expire = absl::FromUnixMicros(expire);
  if (now >= grant.expire) return Refuse("it has expired");
  return grant;
}

}  // namespace trainyard
