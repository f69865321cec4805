// The store's client: see blob.h. All requests but a conditional PutObject may be repeated, so an
// unreachable or overloaded store is tried again a few times with growing pauses.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/blob/blob.h"
#include "common/blob/folder_reader.h"
#include "common/blob/folder_writer.h"
#include "common/blob/http_connection.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/sha256.h"

namespace trainyard::blob {
namespace {

constexpr int kTriesMax = 4;
constexpr size_t kMissingPerRequest = 32768;          // digests
constexpr int64_t kTreeBytesMax = int64_t{64} << 20;  // of a serialized tree

absl::StatusCode CodeOfHttp(int status) {
  switch (status) {
    case 400:
    case 405:
    case 413:
      return absl::StatusCode::kInvalidArgument;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 409:
      return absl::StatusCode::kFailedPrecondition;
    case 412:
      return absl::StatusCode::kAborted;
    case 429:
    case 507:
      return absl::StatusCode::kResourceExhausted;
    case 503:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::Status ErrorOfReply(const HttpReply& reply) {
  const auto body = nlohmann::json::parse(reply.body, nullptr, false);
  v1::Faults faults;
  if (body.is_object() && body.contains("faults") && body["faults"].is_array()) {
    for (const auto& from : body["faults"]) {
      if (!from.is_object()) continue;
      v1::Fault* fault = faults.add_faults();
      const auto text = [&from](const char* key) {
        const auto it = from.find(key);
        return it != from.end() && it->is_string() ? it->get<std::string>() : std::string();
      };
      fault->set_reason(text("reason"));
      fault->set_message(text("message"));
      fault->set_fix(text("fix"));
    }
  }
  const absl::StatusCode code = CodeOfHttp(reply.status);
  if (faults.faults().empty()) {
    return absl::Status(code, absl::StrCat("the store answered HTTP ", reply.status));
  }
  return MakeError(code, faults);
}

std::string EscapedPath(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' ||
                       c == '.' || c == '~' || c == '/';
    if (plain) {
      out += c;
    } else {
      absl::StrAppend(&out, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return out;
}

// Size from "bytes 0-9/1234"; -1 when there is none.
int64_t TotalOfRange(absl::string_view content_range) {
  const size_t slash = content_range.find('/');
  int64_t total = -1;
  if (slash == absl::string_view::npos ||
      !absl::SimpleAtoi(content_range.substr(slash + 1), &total)) {
    return -1;
  }
  return total;
}

absl::Status Corrupt(absl::string_view digest, absl::string_view what) {
  return MakeError(absl::StatusCode::kDataLoss, "STORE_CORRUPT",
                   absl::StrCat("blob ", HexOf(digest), ": ", what),
                   "try again; if it stays, upload the content anew");
}

class HttpClient : public Client {
 public:
  HttpClient(std::string address, std::string token, std::string ca_file)
      : connection_(HttpConnection::Make(
            {.address = std::move(address), .token = std::move(token), .ca_file = ca_file})) {}

  absl::StatusOr<std::string> UploadBytes(absl::string_view bytes) override {
    const FileDigest digest = DigestOfBytes(bytes);
    const auto piece = [&bytes](size_t index, std::string*) -> absl::StatusOr<absl::string_view> {
      return bytes.substr(index * kChunkBytes, kChunkBytes);
    };
    auto missing = Missing({digest.chunks.begin(), digest.chunks.end()});
    if (!missing.ok()) return missing.status();
    auto sent = SendChunks(digest.chunks, piece, &*missing);
    if (!sent.ok()) return sent.status();
    return TieBlob(digest.size, digest.chunks, digest.digest);
  }

  absl::StatusOr<std::string> UploadFile(const std::string& path) override {
    FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid()) return ErrnoError(errno, "cannot open", path);
    auto digest = DigestOfFd(file.get(), path);
    if (!digest.ok()) return digest.status();
    auto missing = Missing({digest->chunks.begin(), digest->chunks.end()});
    if (!missing.ok()) return missing.status();
    auto sent = SendFile(file.get(), path, digest->chunks, &*missing);
    if (!sent.ok()) return sent.status();
    return TieBlob(digest->size, digest->chunks, digest->digest);
  }

  absl::StatusOr<UploadStats> UploadFolder(const std::string& folder,
                                           const TreeOptions& options) override {
    auto scanned = ScanFolder(folder, options);
    if (!scanned.ok()) return scanned.status();
    const std::string tree_bytes = scanned->tree.SerializeAsString();
    UploadStats stats;
    stats.digest = DigestOfBytes(tree_bytes).digest;
    for (const auto& entry : scanned->tree.entries()) stats.bytes_total += entry.size();
    // A tree is stored after all its files, so its presence means theirs.
    auto there = Call("HEAD", absl::StrCat("/v1/blobs/", HexOf(stats.digest)), "");
    if (there.ok()) return stats;
    if (!absl::IsNotFound(there.status())) return there.status();
    if (auto status = SendFiles(folder, *scanned, &stats); !status.ok()) return status;
    auto uploaded = UploadBytes(tree_bytes);
    if (!uploaded.ok()) return uploaded.status();
    return stats;
  }

  absl::StatusOr<std::string> DownloadBytes(absl::string_view digest, int64_t bytes_max) override {
    std::string out;
    const auto take = [&out](absl::string_view bytes) {
      out.append(bytes.data(), bytes.size());
      return absl::OkStatus();
    };
    if (auto status = Download(digest, bytes_max, take); !status.ok()) return status;
    return out;
  }

  absl::Status DownloadFile(absl::string_view digest, const std::string& path) override {
    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    auto writer = FolderWriter::Open(folder);
    if (!writer.ok()) return writer.status();
    return writer->PutFile(path.substr(slash + 1), 0644,
                           [&](int fd) { return DownloadToFd(digest, -1, fd); });
  }

  absl::Status DownloadFolder(absl::string_view tree_digest, const std::string& folder) override {
    auto bytes = DownloadBytes(tree_digest, kTreeBytesMax);
    if (!bytes.ok()) return bytes.status();
    v1::Tree tree;
    if (!tree.ParseFromString(*bytes)) return Corrupt(tree_digest, "is no tree");
    if (auto status = CheckTree(tree); !status.ok()) return status;
    auto writer = FolderWriter::Open(folder);
    if (!writer.ok()) return writer.status();
    // Links last: then no write of ours can meet one of the tree's own.
    for (const bool links : {false, true}) {
      for (const v1::TreeEntry& entry : tree.entries()) {
        if (entry.link_target().empty() == links) continue;
        const absl::Status status = links
                                        ? writer->PutLink(entry.path(), entry.link_target())
                                        : writer->PutFile(entry.path(), entry.mode(), [&](int fd) {
                                            return DownloadToFd(entry.digest(), entry.size(), fd);
                                          });
        if (!status.ok()) return status;
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> PutObject(absl::string_view bucket, absl::string_view name,
                                    absl::string_view digest, int64_t if_generation) override {
    HttpRequest request;
    request.method = "PUT";
    request.target = absl::StrCat("/v1/objects/", EscapedPath(bucket), "/", EscapedPath(name));
    if (if_generation >= 0) {
      request.headers.emplace_back("x-trainyard-if-generation", absl::StrCat(if_generation));
    }
    const std::string body = nlohmann::json{{"digest", HexOf(digest)}}.dump();
    request.body = body;
    auto reply = Call(request, if_generation < 0);
    if (!reply.ok()) return reply.status();
    const auto parsed = nlohmann::json::parse(reply->body, nullptr, false);
    if (!parsed.is_object() || !parsed.contains("generation") ||
        !parsed["generation"].is_number_integer()) {
      return absl::InternalError("the store's answer has no generation");
    }
    return parsed["generation"].get<int64_t>();
  }

 private:
  using ChunkSet = absl::flat_hash_set<std::string>;

  absl::StatusOr<HttpReply> Call(const HttpRequest& request, bool repeatable) {
    absl::Duration pause = absl::Milliseconds(100);
    for (int attempt = 1;; ++attempt, pause *= 3) {
      bool sent = false;
      auto reply = connection_->Exchange(request, &sent);
      if (reply.ok() && reply->status < 300) return reply;
      const absl::Status error = reply.ok() ? ErrorOfReply(*reply) : reply.status();
      const bool again = absl::IsUnavailable(error) && (repeatable || !sent || reply.ok());
      if (!again || attempt == kTriesMax) return error;
      absl::SleepFor(pause);
    }
  }
  absl::StatusOr<HttpReply> Call(std::string method, std::string target, absl::string_view body) {
    HttpRequest request;
    request.method = std::move(method);
    request.target = std::move(target);
    request.body = body;
    return Call(request, true);
  }

  // Those of `wanted` that the store lacks.
  absl::StatusOr<ChunkSet> Missing(const ChunkSet& wanted) {
    ChunkSet missing;
    std::string body;
    size_t left = wanted.size();
    for (const std::string& chunk : wanted) {
      body += chunk;
      if (--left > 0 && body.size() < kMissingPerRequest * kDigestBytes) continue;
      auto reply = Call("POST", "/v1/missing", body);
      if (!reply.ok()) return reply.status();
      for (size_t i = 0; i + kDigestBytes <= reply->body.size(); i += kDigestBytes) {
        missing.insert(reply->body.substr(i, kDigestBytes));
      }
      body.clear();
    }
    return missing;
  }

  // Sends those of `chunks` that are in `missing` and takes them out of it; returns bytes sent.
  // `piece(index, buffer)` gives chunk `index`.
  template <class Piece>
  absl::StatusOr<int64_t> SendChunks(const std::vector<std::string>& chunks, const Piece& piece,
                                     ChunkSet* missing) {
    int64_t sent = 0;
    std::string buffer;
    for (size_t i = 0; i < chunks.size() && !missing->empty(); ++i) {
      if (missing->erase(chunks[i]) == 0) continue;
      absl::StatusOr<absl::string_view> bytes = piece(i, &buffer);
      if (!bytes.ok()) return bytes.status();
      auto reply = Call("PUT", absl::StrCat("/v1/chunks/", HexOf(chunks[i])), *bytes);
      if (!reply.ok()) return reply.status();
      sent += static_cast<int64_t>(bytes->size());
    }
    return sent;
  }

  absl::StatusOr<int64_t> SendFile(int fd, const std::string& path,
                                   const std::vector<std::string>& chunks, ChunkSet* missing) {
    const auto piece = [&](size_t index, std::string* buffer) -> absl::StatusOr<absl::string_view> {
      buffer->resize(kChunkBytes);
      size_t filled = 0;
      while (filled < buffer->size()) {
        const ssize_t n = pread(fd, buffer->data() + filled, buffer->size() - filled,
                                static_cast<off_t>(index * kChunkBytes + filled));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ErrnoError(errno, "cannot read", path);
        if (n == 0) break;
        filled += static_cast<size_t>(n);
      }
      const absl::string_view bytes(buffer->data(), filled);
      if (Sha256Of(bytes) != chunks[index]) {
        return MakeError(absl::StatusCode::kAborted, "ABORTED",
                         absl::StrCat(path, " changed while it was uploaded"),
                         "upload again when nobody writes to it");
      }
      return bytes;
    };
    return SendChunks(chunks, piece, missing);
  }

  absl::Status SendFiles(const std::string& folder, const ScannedTree& scanned,
                         UploadStats* stats) {
    ChunkSet wanted;
    for (const auto& chunks : scanned.chunks) wanted.insert(chunks.begin(), chunks.end());
    auto missing = Missing(wanted);
    if (!missing.ok()) return missing.status();
    ChunkSet tied;
    for (int i = 0; i < scanned.tree.entries_size(); ++i) {
      const v1::TreeEntry& entry = scanned.tree.entries(i);
      const auto& chunks = scanned.chunks[static_cast<size_t>(i)];
      if (!entry.link_target().empty() || !tied.insert(entry.digest()).second) continue;
      const bool lacking = std::any_of(chunks.begin(), chunks.end(),
                                       [&](const auto& c) { return missing->contains(c); });
      if (lacking) {
        auto fd = OpenBelow(folder, entry.path());
        if (!fd.ok()) return fd.status();
        auto sent = SendFile(fd->get(), entry.path(), chunks, &*missing);
        if (!sent.ok()) return sent.status();
        stats->bytes_sent += *sent;
      }
      auto digest = TieBlob(entry.size(), chunks, entry.digest());
      if (!digest.ok()) return digest.status();
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> TieBlob(int64_t size, const std::vector<std::string>& chunks,
                                      const std::string& digest) {
    nlohmann::json body = {{"size", size}, {"chunks", nlohmann::json::array()}};
    for (const std::string& chunk : chunks) body["chunks"].push_back(HexOf(chunk));
    auto reply = Call("POST", "/v1/blobs", body.dump());
    if (!reply.ok()) return reply.status();
    const auto parsed = nlohmann::json::parse(reply->body, nullptr, false);
    if (!parsed.is_object() || parsed.value("digest", "") != HexOf(digest)) {
      return Corrupt(digest, "the store names it otherwise");
    }
    return digest;
  }

  // Asks for one chunk's range at a time and hands each on; verified as a whole at the end, so the
  // taker must not show what it got before OK.
  template <class Take>
  absl::Status Download(absl::string_view digest, int64_t bytes_max, const Take& take) {
    if (digest.size() != kDigestBytes) return Corrupt(digest, "is no digest of 32 bytes");
    HttpRequest request;
    request.method = "GET";
    request.target = absl::StrCat("/v1/blobs/", HexOf(digest));
    std::vector<std::string> chunks;
    for (int64_t total = 1, done = 0; done < total;) {
      request.headers = {{"range", absl::StrCat("bytes=", done, "-", done + kChunkBytes - 1)}};
      auto reply = Call(request, true);
      if (!reply.ok()) return reply.status();
      total = reply->status == 206 ? TotalOfRange(reply->Header("content-range"))
                                   : static_cast<int64_t>(reply->body.size());
      if (total > bytes_max) {
        return MakeError(
            absl::StatusCode::kResourceExhausted, "RESOURCE_EXHAUSTED",
            absl::StrCat("blob ", HexOf(digest), " has ", total, " bytes, more than ", bytes_max),
            "");
      }
      const int64_t wanted = std::min(kChunkBytes, total - done);
      const auto got = static_cast<int64_t>(reply->body.size());
      if (got != wanted) return Corrupt(digest, "the store's answer has another length");
      if (got == 0) break;
      chunks.push_back(Sha256Of(reply->body));
      if (auto status = take(reply->body); !status.ok()) return status;
      done += got;
    }
    if (DigestOfChunks(chunks) != digest) return Corrupt(digest, "the bytes received differ");
    return absl::OkStatus();
  }

  // `size` -1: any.
  absl::Status DownloadToFd(absl::string_view digest, int64_t size, int fd) {
    int64_t written = 0;
    const auto take = [&](absl::string_view bytes) {
      written += static_cast<int64_t>(bytes.size());
      return WriteAll(fd, bytes);
    };
    auto status = Download(digest, size < 0 ? INT64_MAX : size, take);
    if (status.ok() && size >= 0 && written != size) {
      return Corrupt(digest, "the tree names another size");
    }
    return status;
  }

  std::unique_ptr<HttpConnection> connection_;
};

}  // namespace

std::unique_ptr<Client> Client::Make(std::string address, std::string token, std::string ca_file) {
  return std::make_unique<HttpClient>(std::move(address), std::move(token), std::move(ca_file));
}

}  // namespace trainyard::blob
