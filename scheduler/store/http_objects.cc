// Objects over HTTP: names for blobs, and whole trees under their names; see http_handler.h.
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/blob/blob.h"
#include "common/errors.h"
#include "common/sha256.h"
#include "scheduler/store/http_answer.h"

namespace trainyard::store {

using nlohmann::json;

HttpAnswer HttpHandler::GetObject(const HttpCall& call, const Route& route) const {
  auto status = store_->objects().CheckBucket(route.bucket, route.project, false);
  if (!status.ok()) return AnswerOf(status);
  auto object = store_->objects().Get(route.bucket, route.name);
  if (!object.ok()) return AnswerOf(object.status());
  HttpAnswer answer = GetBlob(call, object->digest());
  answer.headers.emplace_back("x-trainyard-generation", absl::StrCat(object->generation()));
  return answer;
}

namespace {

constexpr int64_t kTreeBytesMax = int64_t{64} << 20;

// -1 when the header is absent; false when it is no number.
bool ParseGeneration(const std::string& text, int64_t* generation) {
  *generation = -1;
  return text.empty() || (absl::SimpleAtoi(text, generation) && *generation >= 0);
}

// The files of `tree` as objects below `prefix`. A link is the file it leads to in the tree; one
// that leads to a folder or another link is left out: names of a store are files.
std::vector<v1::ObjectInfo> ObjectsOf(const v1::Tree& tree, const std::string& prefix) {
  std::map<std::string, const v1::TreeEntry*> files;
  for (const v1::TreeEntry& entry : tree.entries()) {
    if (entry.link_target().empty()) files[entry.path()] = &entry;
  }
  std::vector<v1::ObjectInfo> objects;
  for (const v1::TreeEntry& entry : tree.entries()) {
    const v1::TreeEntry* content = &entry;
    if (!entry.link_target().empty()) {
      const auto found =
          files.find((std::filesystem::path(entry.path()).parent_path() / entry.link_target())
                         .lexically_normal());
      if (found == files.end()) continue;
      content = found->second;
    }
    v1::ObjectInfo& object = objects.emplace_back();
    object.set_name(prefix.empty() ? entry.path() : absl::StrCat(prefix, "/", entry.path()));
    object.set_digest(content->digest());
    object.set_size(content->size());
  }
  return objects;
}

}  // namespace

HttpAnswer HttpHandler::PutObject(const HttpCall& call, const Route& route) const {
  const std::string digest = DigestInBody(call.body);
  int64_t if_generation = -1;
  if (digest.empty() || !ParseGeneration(call.if_generation, &if_generation)) {
    return AnswerOf(BadRequest(
        "the body is not {\"digest\": \"hex\"} or x-trainyard-if-generation is no number",
        "send the digest of a stored blob"));
  }
  auto info = store_->blobs().Stat(digest);
  if (!info.ok()) {
    return AnswerOf(absl::IsNotFound(info.status())
                        ? MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                                    "the store holds no blob of that digest", "upload it first")
                        : info.status());
  }
  auto status = store_->objects().CheckBucket(route.bucket, route.project, true);
  if (!status.ok()) return AnswerOf(status);
  auto generation =
      store_->objects().Put(route.bucket, route.name, digest, info->size, if_generation);
  if (!generation.ok()) return AnswerOf(generation.status());
  return JsonAnswer(200, {{"generation", *generation}});
}

HttpAnswer HttpHandler::DeleteObject(const HttpCall& call, const Route& route) const {
  int64_t if_generation = -1;
  if (!ParseGeneration(call.if_generation, &if_generation)) {
    return AnswerOf(BadRequest("x-trainyard-if-generation is no number", "send the generation"));
  }
  auto status = store_->objects().CheckBucket(route.bucket, route.project, false);
  if (status.ok()) status = store_->objects().Delete(route.bucket, route.name, if_generation);
  return status.ok() ? JsonAnswer(200, json::object()) : AnswerOf(status);
}

HttpAnswer HttpHandler::ListObjects(const Route& route) const {
  auto status = store_->objects().CheckBucket(route.bucket, route.project, false);
  if (!status.ok()) return AnswerOf(status);
  v1::ListObjectsRequest request;
  request.set_bucket(route.bucket);
  request.set_prefix(route.prefix);
  request.set_page_token(route.page_token);
  auto response = store_->objects().List(request);
  if (!response.ok()) return AnswerOf(response.status());
  json objects = json::array();
  for (const v1::ObjectInfo& object : response->objects()) {
    objects.push_back({{"name", object.name()},
                       {"generation", object.generation()},
                       {"size", object.size()},
                       {"digest", HexOf(object.digest())}});
  }
  return JsonAnswer(200, {{"objects", objects}, {"next_token", response->next_page_token()}});
}

// A whole tree appears under its names by one transaction.
HttpAnswer HttpHandler::Publish(const HttpCall& call, const Route& route) const {
  const std::string digest = DigestInBody(call.body);
  if (digest.empty()) {
    return AnswerOf(
        BadRequest("the body is not {\"digest\": \"hex\"}", "send the digest of a stored tree"));
  }
  const auto bytes = store_->blobs().GetBlob(digest, kTreeBytesMax);
  v1::Tree tree;
  // Some files are messages by chance, of fields that no tree has: a tree without entries is empty.
  const bool is_tree = bytes.ok() && tree.ParseFromString(*bytes) &&
                       (tree.entries_size() > 0 || bytes->empty()) && blob::CheckTree(tree).ok();
  if (!is_tree) {
    return AnswerOf(bytes.ok() || absl::IsNotFound(bytes.status())
                        ? MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                                    "the store holds no tree of that digest", "upload it first")
                        : bytes.status());
  }
  const std::vector<v1::ObjectInfo> objects = ObjectsOf(tree, route.prefix);
  std::set<std::string> blobs;
  for (const v1::ObjectInfo& object : objects) blobs.insert(object.digest());
  if (!store_->blobs().MissingBlobs({blobs.begin(), blobs.end()}).empty()) {
    return AnswerOf(MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                              "files of that tree are not in the store", "upload them first"));
  }
  auto status = store_->objects().CheckBucket(route.bucket, route.project, true);
  if (status.ok()) status = store_->objects().PutAll(route.bucket, objects);
  if (!status.ok()) return AnswerOf(status);
  return JsonAnswer(200, {{"objects", objects.size()}});
}

}  // namespace trainyard::store
