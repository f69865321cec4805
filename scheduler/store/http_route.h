// Which verb of the store a method and a target mean, and what that verb needs. Pure.
#ifndef TRAINYARD_SCHEDULER_STORE_HTTP_ROUTE_H_
#define TRAINYARD_SCHEDULER_STORE_HTTP_ROUTE_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "scheduler/store/http_target.h"

namespace trainyard::store {

inline constexpr int64_t kHttpBodyBytesMax = 8 << 20;

enum class HttpVerb {
  kHealth,
  kMissing,
  kPutChunk,
  kPutBlob,
  kPutSmall,
  kMissingBlobs,
  kFetchSmall,
  kGetBlob,
  kListObjects,
  kGetObject,
  kPutObject,
  kDeleteObject,
  kPublish
};
struct HttpRoute {
  HttpVerb verb = HttpVerb::kHealth;
  std::string digest;  // of chunks and blobs
  std::string bucket, name;
  std::string prefix, page_token;  // prefix: also of kPublish, "" or without a slash at its end
  std::string project;             // of the caller; empty: all
  int64_t body_bytes_max = 0;
};

// Fills `route` from method and target; 0, or the HTTP status of the refusal.
int FindRoute(const std::string& method, const HttpTarget& target, HttpRoute* route);
// Whether a token must allow writing.
bool NeedsWrite(HttpVerb verb);
// 32 raw bytes of 64 hexadecimal digits, "" if they are not that.
std::string DigestOfHex(absl::string_view hex);

}  // namespace trainyard::store

#endif  // TRAINYARD_SCHEDULER_STORE_HTTP_ROUTE_H_
