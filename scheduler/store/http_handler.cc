// See http_handler.h.
#include "scheduler/store/http_handler.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/blob/blob.h"
#include "common/errors.h"
#include "common/sha256.h"
#include "scheduler/store/http_answer.h"
#include "scheduler/store/http_route.h"
#include "scheduler/store/http_target.h"

namespace trainyard::store {
namespace {

using nlohmann::json;

int HttpStatusOf(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  if (reason == "DISK_FULL") return 507;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
      return 409;
    case absl::StatusCode::kAborted:
      return 412;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnavailable:
      return 503;
    default:
      return 500;
  }
}

// Text from anywhere as JSON; bytes that are no UTF-8 become replacement characters.
std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

struct Range {
  enum class Kind { kWhole, kPart, kUnsatisfiable } kind = Kind::kWhole;
  int64_t first = 0, end = 0;  // of kPart, [first, end)
};
// One range of RFC 9110; what is not exactly that is ignored, as it allows.
Range ParseRange(absl::string_view text, int64_t size) {
  Range whole{Range::Kind::kWhole, 0, size};
  if (!absl::ConsumePrefix(&text, "bytes=") || size == 0) return whole;
  const std::vector<absl::string_view> ends = absl::StrSplit(text, '-');
  int64_t first = 0, last = size - 1;
  if (ends.size() != 2) return whole;
  if (ends[0].empty()) {
    int64_t suffix = 0;
    if (!absl::SimpleAtoi(ends[1], &suffix) || suffix < 0) return whole;
    if (suffix == 0) return {Range::Kind::kUnsatisfiable, 0, 0};
    return {Range::Kind::kPart, std::max<int64_t>(0, size - suffix), size};
  }
  if (!absl::SimpleAtoi(ends[0], &first) || first < 0) return whole;
  if (!ends[1].empty() && (!absl::SimpleAtoi(ends[1], &last) || last < first)) return whole;
  if (first >= size) return {Range::Kind::kUnsatisfiable, 0, 0};
  return {Range::Kind::kPart, first, std::min(last, size - 1) + 1};
}

// Gives [first, end) of a blob, one chunk in memory.
class BlobReader {
 public:
  BlobReader(BlobStore* blobs, BlobStore::BlobInfo info, int64_t first, int64_t end)
      : blobs_(blobs), info_(std::move(info)), at_(first), end_(end) {}
  absl::StatusOr<std::string> operator()() {
    const auto index = static_cast<size_t>(at_ / blob::kChunkBytes);
    const int64_t begin = static_cast<int64_t>(index) * blob::kChunkBytes;
    auto chunk = blobs_->GetChunk(info_.chunks[index]);
    if (absl::IsNotFound(chunk.status())) {
      return MakeError(absl::StatusCode::kInternal, "STORE_CORRUPT", "a part of this blob is lost",
                       "upload the content again");
    }
    if (!chunk.ok()) return chunk;
    const int64_t length = std::min(blob::kChunkBytes, info_.size - begin);
    if (static_cast<int64_t>(chunk->size()) != length) {
      return absl::InternalError("a chunk has another length than its blob says");
    }
    const int64_t until = std::min(end_, begin + length);
    if (at_ == begin && until == begin + length) {
      at_ = until;
      return chunk;
    }
    const int64_t from = std::exchange(at_, until);
    return chunk->substr(static_cast<size_t>(from - begin), static_cast<size_t>(until - from));
  }

 private:
  BlobStore* const blobs_;
  const BlobStore::BlobInfo info_;
  int64_t at_;
  const int64_t end_;
};

HttpAnswer AnswerOfRefusal(int http_status, const HttpCall& call) {
  if (http_status == 405) {
    return Fault(405, "INVALID_ARGUMENT", absl::StrCat(call.method, " is not done there"),
                 "docs/store.md lists the verbs");
  }
  if (http_status == 400) {
    return Fault(400, "INVALID_ARGUMENT", "the address has no digest of 64 hexadecimal digits",
                 "send the SHA-256 in hexadecimal");
  }
  return Fault(404, "NOT_FOUND", "there is nothing at this address",
               "docs/store.md lists the addresses");
}

}  // namespace

HttpAnswer JsonAnswer(int status, const json& value) {
  HttpAnswer answer;
  answer.status = status;
  answer.content_type = "application/json";
  answer.body = Dump(value);
  return answer;
}

absl::Status BadRequest(absl::string_view message, absl::string_view fix) {
  return MakeError(absl::StatusCode::kInvalidArgument, "INVALID_ARGUMENT", message, fix);
}

std::string DigestInBody(const std::string& body) {
  const json parsed = json::parse(body, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("digest") || !parsed["digest"].is_string()) return "";
  return DigestOfHex(parsed["digest"].get_ref<const std::string&>());
}

HttpAnswer AnswerOf(const absl::Status& status) {
  json faults = json::array();
  const v1::Faults all = FaultsOf(status);
  for (const v1::Fault& fault : all.faults()) {
    faults.push_back(
        {{"reason", fault.reason()}, {"message", fault.message()}, {"fix", fault.fix()}});
  }
  HttpAnswer answer = JsonAnswer(HttpStatusOf(status), {{"faults", faults}});
  if (answer.status == 401) answer.headers.emplace_back("www-authenticate", "Bearer");
  return answer;
}

HttpAnswer Fault(int http_status, absl::string_view reason, absl::string_view message,
                 absl::string_view fix) {
  return JsonAnswer(http_status, {{"faults",
                                   {{{"reason", std::string(reason)},
                                     {"message", std::string(message)},
                                     {"fix", std::string(fix)}}}}});
}

bool HttpHandler::Admit(const HttpCall& call, Route* route, HttpAnswer* refusal) const {
  if (call.target == "/healthz" && (call.method == "GET" || call.method == "HEAD")) {
    route->verb = Verb::kHealth;
    return true;
  }
  const auto refuse = [refusal](HttpAnswer answer) {
    *refusal = std::move(answer);
    return false;
  };
  // No web page has business here: browsers name the page in Origin.
  if (!call.origin.empty()) {
    return refuse(Fault(403, "PERMISSION_DENIED", "requests from web pages are refused",
                        "use the command line or an HTTP client without Origin"));
  }
  absl::string_view token = call.authorization;
  if (token.size() < 8 || !absl::EqualsIgnoreCase(token.substr(0, 7), "Bearer ") ||
      authorize_ == nullptr) {
    return refuse(AnswerOf(MakeError(absl::StatusCode::kUnauthenticated, "UNAUTHENTICATED",
                                     "the request carries no bearer token",
                                     "send \"Authorization: Bearer TOKEN\"")));
  }
  const auto access = authorize_(token.substr(7));
  if (!access.ok()) {
    // Whatever kept the token from being checked, nobody gets in; only who may try again differs.
    const bool later = absl::IsUnavailable(access.status());
    return refuse(
        later ? AnswerOf(access.status())
              : AnswerOf(MakeError(absl::StatusCode::kUnauthenticated,
                                   ReasonOf(access.status()) == "GRANT_INVALID" ? "GRANT_INVALID"
                                                                                : "UNAUTHENTICATED",
                                   "the bearer token is not valid here",
                                   "get a new grant, or log in again")));
  }
  route->project = access->project;
  HttpTarget target;
  if (!ParseTarget(call.target, &target)) {
    return refuse(Fault(400, "BAD_NAME", "the address is malformed or has \".\" or \"..\" parts",
                        "send a clean, percent-encoded path"));
  }
  if (const int status = FindRoute(call.method, target, route); status != 0) {
    return refuse(AnswerOfRefusal(status, call));
  }
  if (NeedsWrite(route->verb) ? !access->write : !access->read) {
    return refuse(AnswerOf(
        MakeError(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
                  absl::StrCat("this token may not ",
                               NeedsWrite(route->verb) ? "write to" : "read from", " the store"),
                  "ask for a grant of the other kind")));
  }
  return true;
}

HttpAnswer HttpHandler::Perform(const HttpCall& call, const Route& route) const {
  switch (route.verb) {
    case Verb::kHealth: {
      HttpAnswer answer;
      answer.content_type = "text/plain";
      answer.body = "ok";
      return answer;
    }
    case Verb::kMissing:
      return Missing(call, false);
    case Verb::kMissingBlobs:
      return Missing(call, true);
    case Verb::kFetchSmall:
      return FetchSmall(call);
    case Verb::kPutChunk: {
      const absl::Status status = store_->blobs().PutChunk(route.digest, call.body);
      return status.ok() ? JsonAnswer(200, json::object()) : AnswerOf(status);
    }
    case Verb::kPutBlob:
      return PutBlob(call);
    case Verb::kPutSmall:
      return PutSmall(call);
    case Verb::kGetBlob:
      return GetBlob(call, route.digest);
    case Verb::kListObjects:
      return ListObjects(route);
    case Verb::kGetObject:
      return GetObject(call, route);
    case Verb::kPutObject:
      return PutObject(call, route);
    case Verb::kDeleteObject:
      return DeleteObject(call, route);
    case Verb::kPublish:
      return Publish(call, route);
  }
  return Fault(404, "NOT_FOUND", "there is nothing at this address", "");
}

namespace {
// Raw digests one behind the other; false when the body is not that.
bool CutDigests(const std::string& body, std::vector<std::string>* digests) {
  if (body.size() % kDigestBytes != 0) return false;
  for (size_t i = 0; i < body.size(); i += kDigestBytes) {
    digests->push_back(body.substr(i, kDigestBytes));
  }
  return true;
}

HttpAnswer NoDigests() {
  return AnswerOf(BadRequest("the body is not a row of digests of 32 bytes",
                             "send the raw digests one behind the other"));
}
}  // namespace

HttpAnswer HttpHandler::Missing(const HttpCall& call, bool blobs) const {
  std::vector<std::string> digests;
  if (!CutDigests(call.body, &digests)) return NoDigests();
  HttpAnswer answer;
  answer.body = absl::StrJoin(
      blobs ? store_->blobs().MissingBlobs(digests) : store_->blobs().Missing(digests), "");
  return answer;
}

HttpAnswer HttpHandler::FetchSmall(const HttpCall& call) const {
  std::vector<std::string> digests;
  if (!CutDigests(call.body, &digests)) return NoDigests();
  HttpAnswer answer;
  for (const std::string& digest : digests) {
    const auto content = store_->blobs().GetBlob(digest, blob::kChunkBytes);
    if (!content.ok()) return AnswerOf(content.status());
    const auto after = static_cast<int64_t>(answer.body.size() + content->size());
    if (!answer.body.empty() && after > kHttpBodyBytesMax) break;
    blob::AppendSmall(*content, &answer.body);
  }
  return answer;
}

HttpAnswer HttpHandler::PutBlob(const HttpCall& call) const {
  const absl::Status malformed =
      BadRequest("the body is not {\"size\": N, \"chunks\": [\"hex\", ...]}",
                 "send the size and the digests of the chunks in order");
  const json body = json::parse(call.body, nullptr, false);
  if (!body.is_object() || !body.contains("size") || !body["size"].is_number_integer() ||
      !body.contains("chunks") || !body["chunks"].is_array()) {
    return AnswerOf(malformed);
  }
  std::vector<std::string> chunks;
  for (const json& hex : body["chunks"]) {
    if (!hex.is_string()) return AnswerOf(malformed);
    chunks.push_back(DigestOfHex(hex.get_ref<const std::string&>()));
    if (chunks.back().empty()) return AnswerOf(malformed);
  }
  auto digest = store_->blobs().PutBlob(body["size"].get<int64_t>(), chunks);
  if (digest.ok()) return JsonAnswer(200, {{"digest", HexOf(*digest)}});
  HttpAnswer answer = AnswerOf(digest.status());
  if (answer.status == 409) {
    json with_missing = json::parse(answer.body);
    with_missing["missing"] = json::array();
    for (const std::string& chunk : store_->blobs().Missing(chunks)) {
      with_missing["missing"].push_back(HexOf(chunk));
    }
    answer.body = Dump(with_missing);
  }
  return answer;
}

HttpAnswer HttpHandler::PutSmall(const HttpCall& call) const {
  std::vector<absl::string_view> contents;
  if (!blob::CutSmall(call.body, &contents)) {
    return AnswerOf(BadRequest("the body is not a row of contents, each after its length",
                               "send each length as four bytes, the highest first"));
  }
  const auto digests = store_->blobs().PutSmall(contents);
  if (!digests.ok()) return AnswerOf(digests.status());
  HttpAnswer answer;
  answer.body = absl::StrJoin(*digests, "");
  return answer;
}

HttpAnswer HttpHandler::GetBlob(const HttpCall& call, const std::string& digest) const {
  auto info = store_->blobs().Stat(digest);
  if (!info.ok()) return AnswerOf(info.status());
  const int64_t size = info->size;
  const Range range = ParseRange(call.range, size);
  HttpAnswer answer;
  answer.headers = {{"accept-ranges", "bytes"}, {"etag", absl::StrCat("\"", HexOf(digest), "\"")}};
  if (range.kind == Range::Kind::kUnsatisfiable) {
    answer = Fault(416, "OUT_OF_RANGE", absl::StrCat("the blob has ", size, " bytes"),
                   "ask for a range inside it");
    answer.headers = {{"content-range", absl::StrCat("bytes */", size)}};
    return answer;
  }
  if (range.kind == Range::Kind::kPart) {
    answer.status = 206;
    answer.headers.emplace_back("content-range",
                                absl::StrCat("bytes ", range.first, "-", range.end - 1, "/", size));
  }
  answer.stream_bytes = range.end - range.first;
  if (answer.stream_bytes == 0 || call.method == "HEAD") return answer;
  BlobReader reader(&store_->blobs(), *std::move(info), range.first, range.end);
  // The first piece before the head goes: most damage is met while it can still be told.
  auto first = reader();
  if (!first.ok()) return AnswerOf(first.status());
  if (static_cast<int64_t>(first->size()) == answer.stream_bytes) {
    answer.stream_bytes = -1;
    answer.body = *std::move(first);
    return answer;
  }
  answer.next_piece = [reader = std::move(reader), piece = *std::move(first),
                       begun = false]() mutable -> absl::StatusOr<std::string> {
    if (std::exchange(begun, true)) return reader();
    return std::move(piece);
  };
  return answer;
}

}  // namespace trainyard::store
