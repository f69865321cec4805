// SHA-256, whole and in pieces. Digests are 32 raw bytes; hex only for people and URLs.
// Thread-compatible.
#ifndef TRAINYARD_COMMON_SHA256_H_
#define TRAINYARD_COMMON_SHA256_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace trainyard {

inline constexpr size_t kDigestBytes = 32;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void Update(absl::string_view bytes);
  // The digest of all updates; the object is spent.
  std::string Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string Sha256Of(absl::string_view bytes);
std::string HmacSha256(absl::string_view key, absl::string_view bytes);
// Compares in time that depends on the lengths alone.
bool EqualConstantTime(absl::string_view a, absl::string_view b);

std::string HexOf(absl::string_view bytes);
// INVALID_ARGUMENT unless `hex` is an even number of hexadecimal digits.
absl::StatusOr<std::string> BytesOfHex(absl::string_view hex);

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_SHA256_H_
