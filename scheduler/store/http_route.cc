// See http_route.h.
#include "scheduler/store/http_route.h"

#include <vector>

#include "absl/strings/str_join.h"
#include "common/sha256.h"

namespace trainyard::store {
namespace {

constexpr int64_t kSmallBodyBytesMax = 64 << 10;

}  // namespace

std::string DigestOfHex(absl::string_view hex) {
  if (hex.size() != 2 * kDigestBytes) return "";
  auto bytes = BytesOfHex(hex);
  return bytes.ok() ? *bytes : "";
}

bool NeedsWrite(HttpVerb verb) {
  switch (verb) {
    case HttpVerb::kHealth:
    case HttpVerb::kGetBlob:
    case HttpVerb::kListObjects:
    case HttpVerb::kGetObject:
    case HttpVerb::kFetchSmall:
      return false;
    case HttpVerb::kMissing:
    case HttpVerb::kMissingBlobs:
    case HttpVerb::kPutChunk:
    case HttpVerb::kPutBlob:
    case HttpVerb::kPutSmall:
    case HttpVerb::kPutObject:
    case HttpVerb::kDeleteObject:
    case HttpVerb::kPublish:
      return true;
  }
  return true;
}

int FindRoute(const std::string& method, const HttpTarget& target, HttpRoute* route) {
  using Verb = HttpVerb;
  const auto& parts = target.parts;
  const bool get = method == "GET" || method == "HEAD";
  const auto take = [&](bool method_fits, Verb verb, int64_t body_bytes_max) {
    route->verb = verb;
    route->body_bytes_max = body_bytes_max;
    return method_fits ? 0 : 405;
  };
  if (parts.size() < 2 || parts[0] != "v1") return 404;
  if (parts.size() == 2 && parts[1] == "missing") {
    return take(method == "POST", Verb::kMissing, kHttpBodyBytesMax);
  }
  if (parts.size() == 2 && parts[1] == "missing-blobs") {
    return take(method == "POST", Verb::kMissingBlobs, kHttpBodyBytesMax);
  }
  if (parts.size() == 2 && parts[1] == "fetch") {
    return take(method == "POST", Verb::kFetchSmall, kSmallBodyBytesMax);
  }
  if (parts.size() == 2 && parts[1] == "small") {
    return take(method == "POST", Verb::kPutSmall, kHttpBodyBytesMax);
  }
  if (parts.size() == 2 && parts[1] == "blobs") {
    return take(method == "POST", Verb::kPutBlob, kHttpBodyBytesMax);
  }
  if (parts.size() == 3 && (parts[1] == "chunks" || parts[1] == "blobs")) {
    route->digest = DigestOfHex(parts[2]);
    const bool chunk = parts[1] == "chunks";
    const int refusal = chunk ? take(method == "PUT", Verb::kPutChunk, kHttpBodyBytesMax)
                              : take(get, Verb::kGetBlob, 0);
    return refusal == 0 && route->digest.empty() ? 400 : refusal;
  }
  if (parts[1] == "publish" && parts.size() >= 3) {
    route->bucket = parts[2];
    route->prefix = absl::StrJoin(parts.begin() + 3, parts.end(), "/");
    return take(method == "POST", Verb::kPublish, kSmallBodyBytesMax);
  }
  if (parts[1] != "objects" || parts.size() < 3) return 404;
  route->bucket = parts[2];
  if (parts.size() == 3) {
    route->prefix = target.Query("prefix");
    route->page_token = target.Query("token");
    return take(get, Verb::kListObjects, 0);
  }
  route->name = absl::StrJoin(parts.begin() + 3, parts.end(), "/");
  if (method == "PUT") return take(true, Verb::kPutObject, kSmallBodyBytesMax);
  if (method == "DELETE") return take(true, Verb::kDeleteObject, 0);
  return take(get, Verb::kGetObject, 0);
}

}  // namespace trainyard::store
