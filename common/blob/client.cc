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
#include "common/blob/http_text.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/sha256.h"

namespace trainyard::blob {
namespace {

constexpr int kTriesMax = 4;
constexpr int kUnauthorized = 401;
constexpr size_t kMissingPerRequest = 32768;   // digests
constexpr int64_t kSmallBytesMax = 256 << 10;  // files that travel together
constexpr size_t kSmallBodyBytes = 4 << 20;
constexpr size_t kSmallPerRequest = 1024;
constexpr int64_t kTreeBytesMax = int64_t{64} << 20;  // of a serialized tree

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

  void GiveUpWhen(std::function<bool()> give_up) override { give_up_ = std::move(give_up); }
  void RenewWith(Renew renew) override { renew_ = std::move(renew); }

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
    if (auto status = FetchSmallFiles(tree, &*writer); !status.ok()) return status;
    for (const bool links : {false, true}) {
      for (const v1::TreeEntry& entry : tree.entries()) {
        if (entry.link_target().empty() == links || IsSmall(entry)) continue;
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

  absl::Status PublishTree(absl::string_view bucket, absl::string_view prefix,
                           absl::string_view tree_digest) override {
    const std::string target = absl::StrCat("/v1/publish/", EscapedPath(bucket),
                                            prefix.empty() ? "" : "/", EscapedPath(prefix));
    const std::string body = nlohmann::json{{"digest", HexOf(tree_digest)}}.dump();
    return Call("POST", target, body).status();
  }

 private:
  using ChunkSet = absl::flat_hash_set<std::string>;

  absl::StatusOr<HttpReply> Call(const HttpRequest& request, bool repeatable) {
    absl::Duration pause = absl::Milliseconds(100);
    int renewals = 0;  // of the token, for this request
    for (int attempt = 1;; ++attempt, pause *= 3) {
      if (give_up_ != nullptr && give_up_()) {
        return absl::DeadlineExceededError("the store took too long");
      }
      bool sent = false;
      auto reply = connection_->Exchange(request, &sent);
      if (reply.ok() && reply->status < 300) return reply;
      if (reply.ok() && reply->status == kUnauthorized && Renewed(&renewals)) continue;
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

  bool Renewed(int* renewals) {
    if (renew_ == nullptr || ++*renewals > 1) return false;
    absl::StatusOr<std::string> token = renew_();
    if (token.ok()) connection_->SetToken(*std::move(token));
    return token.ok();
  }

  // Those of `wanted` that the store lacks; `target` says whether they are chunks or blobs.
  absl::StatusOr<ChunkSet> Missing(const ChunkSet& wanted,
                                   const std::string& target = "/v1/missing") {
    ChunkSet missing;
    std::string body;
    size_t left = wanted.size();
    for (const std::string& chunk : wanted) {
      body += chunk;
      if (--left > 0 && body.size() < kMissingPerRequest * kDigestBytes) continue;
      auto reply = Call("POST", target, body);
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
      const absl::Status status = ReadPiece(fd, path, index, chunks[index], buffer);
      if (!status.ok()) return status;
      return absl::string_view(*buffer);
    };
    return SendChunks(chunks, piece, missing);
  }

  // Chunk `index` of an open file, which must still hash to `digest`.
  static absl::Status ReadPiece(int fd, const std::string& path, size_t index,
                                const std::string& digest, std::string* buffer) {
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
    buffer->resize(filled);
    if (Sha256Of(*buffer) == digest) return absl::OkStatus();
    return MakeError(absl::StatusCode::kAborted, "ABORTED",
                     absl::StrCat(path, " changed while it was uploaded"),
                     "upload again when nobody writes to it");
  }

  absl::Status SendFiles(const std::string& folder, const ScannedTree& scanned,
                         UploadStats* stats) {
    ChunkSet wanted;
    for (const auto& entry : scanned.tree.entries()) {
      if (entry.link_target().empty()) wanted.insert(entry.digest());
    }
    const auto absent = Missing(wanted, "/v1/missing-blobs");
    if (!absent.ok()) return absent.status();
    wanted.clear();
    for (int i = 0; i < scanned.tree.entries_size(); ++i) {
      const auto& chunks = scanned.chunks[static_cast<size_t>(i)];
      if (absent->contains(scanned.tree.entries(i).digest())) {
        wanted.insert(chunks.begin(), chunks.end());
      }
    }
    auto missing = Missing(wanted);
    if (!missing.ok()) return missing.status();
    ChunkSet tied;
    SmallFiles small;
    for (int i = 0; i < scanned.tree.entries_size(); ++i) {
      const v1::TreeEntry& entry = scanned.tree.entries(i);
      const auto& chunks = scanned.chunks[static_cast<size_t>(i)];
      if (!absent->contains(entry.digest()) || !tied.insert(entry.digest()).second) continue;
      const bool lacking = std::any_of(chunks.begin(), chunks.end(),
                                       [&](const auto& c) { return missing->contains(c); });
      if (lacking) {
        auto fd = OpenBelow(folder, entry.path());
        if (!fd.ok()) return fd.status();
        if (entry.size() <= kSmallBytesMax) {
          missing->erase(chunks[0]);
          stats->bytes_sent += entry.size();
          const absl::Status status = SendSmall(fd->get(), entry, chunks[0], &small);
          if (!status.ok()) return status;
          continue;
        }
        auto sent = SendFile(fd->get(), entry.path(), chunks, &*missing);
        if (!sent.ok()) return sent.status();
        stats->bytes_sent += *sent;
      }
      auto digest = TieBlob(entry.size(), chunks, entry.digest());
      if (!digest.ok()) return digest.status();
    }
    return Flush(&small);
  }

  struct SmallFiles {
    std::string body, digests;
  };

  static bool IsSmall(const v1::TreeEntry& entry) {
    return entry.link_target().empty() && entry.size() <= kSmallBytesMax &&
           entry.digest().size() == kDigestBytes;
  }

  // The small files of a tree, many in each request.
  absl::Status FetchSmallFiles(const v1::Tree& tree, FolderWriter* writer) {
    std::vector<const v1::TreeEntry*> wanted;
    for (const v1::TreeEntry& entry : tree.entries()) {
      if (IsSmall(entry)) wanted.push_back(&entry);
    }
    for (size_t next = 0; next < wanted.size();) {
      std::string digests;
      size_t bytes = 0;
      for (size_t i = next; i < wanted.size() && bytes < kSmallBodyBytes &&
                            digests.size() < kSmallPerRequest * kDigestBytes;
           ++i) {
        digests += wanted[i]->digest();
        bytes += static_cast<size_t>(wanted[i]->size());
      }
      auto reply = Call("POST", "/v1/fetch", digests);
      if (!reply.ok()) return reply.status();
      std::vector<absl::string_view> contents;
      if (!CutSmall(reply->body, &contents) || contents.empty() ||
          contents.size() > digests.size() / kDigestBytes) {
        return Corrupt(wanted[next]->digest(), "the store's answer is cut short");
      }
      for (const absl::string_view content : contents) {
        const v1::TreeEntry& entry = *wanted[next++];
        if (auto status = PutSmallFile(entry, content, writer); !status.ok()) return status;
      }
    }
    return absl::OkStatus();
  }

  static absl::Status PutSmallFile(const v1::TreeEntry& entry, absl::string_view content,
                                   FolderWriter* writer) {
    if (DigestOfBytes(content).digest != entry.digest()) {
      return Corrupt(entry.digest(), "the bytes received differ");
    }
    if (static_cast<int64_t>(content.size()) != entry.size()) {
      return Corrupt(entry.digest(), "the tree names another size");
    }
    return writer->PutFile(entry.path(), entry.mode(),
                           [&](int fd) { return WriteAll(fd, content); });
  }

  absl::Status SendSmall(int fd, const v1::TreeEntry& entry, const std::string& chunk,
                         SmallFiles* small) {
    std::string bytes;
    if (auto status = ReadPiece(fd, entry.path(), 0, chunk, &bytes); !status.ok()) return status;
    AppendSmall(bytes, &small->body);
    small->digests += entry.digest();
    return small->body.size() < kSmallBodyBytes ? absl::OkStatus() : Flush(small);
  }

  absl::Status Flush(SmallFiles* small) {
    if (small->body.empty()) return absl::OkStatus();
    auto reply = Call("POST", "/v1/small", small->body);
    if (!reply.ok()) return reply.status();
    if (reply->body != small->digests) {
      return Corrupt(small->digests.substr(0, kDigestBytes),
                     "the store names small files otherwise");
    }
    *small = SmallFiles();
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
  std::function<bool()> give_up_;
  Renew renew_;
};

}  // namespace

std::unique_ptr<Client> Client::Make(std::string address, std::string token, std::string ca_file) {
  return std::make_unique<HttpClient>(std::move(address), std::move(token), std::move(ca_file));
}

}  // namespace trainyard::blob
