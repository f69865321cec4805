// libFuzzer on grants, which anybody may send: bytes that the scheduler did not sign are refused,
// and claims that it did sign, however senseless, are refused or mean the same when they are signed
// again. tests/fuzz/run.py builds and runs it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/grant.h"
#include "common/sha256.h"

namespace trainyard {
namespace {

const char kSecret[] = "a secret of the cluster, 32 bytes";

void Refused(absl::string_view text) {
  const auto grant = VerifyGrant(text, kSecret, absl::UnixEpoch());
  if (grant.ok() || grant.status().message().empty()) abort();
}

void CheckSigned(absl::string_view claims) {
  const std::string text = absl::StrCat("tg_", absl::WebSafeBase64Escape(claims), ".",
                                        absl::WebSafeBase64Escape(HmacSha256(kSecret, claims)));
  const auto grant = VerifyGrant(text, kSecret, absl::UnixEpoch());
  if (!grant.ok()) return;
  const auto again = VerifyGrant(SignGrant(*grant, kSecret), kSecret, absl::UnixEpoch());
  const bool same = again.ok() && again->kind == grant->kind && again->project == grant->project &&
                    again->principal == grant->principal && again->run_uid == grant->run_uid &&
                    again->epoch == grant->epoch && again->expire == grant->expire;
  if (!same) abort();
}

}  // namespace
}  // namespace trainyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  trainyard::Refused(bytes);
  trainyard::Refused(absl::StrCat("tg_", bytes));
  trainyard::Refused(absl::StrCat("tg_", absl::WebSafeBase64Escape(bytes), "."));
  trainyard::CheckSigned(bytes);
  return 0;
}
