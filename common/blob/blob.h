// Client side of the store: cut into chunks, hash, upload only what is missing, download, verify;
// folders as trees. Used by the CLI and the agent. One object per thread.
#ifndef TRAINYARD_COMMON_BLOB_BLOB_H_
#define TRAINYARD_COMMON_BLOB_BLOB_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "trainyard/v1/artifact.pb.h"

namespace trainyard::blob {

inline constexpr int64_t kChunkBytes = 8 << 20;

struct FileDigest {
  std::string digest;               // of the blob, 32 bytes
  std::vector<std::string> chunks;  // 32 bytes each
  int64_t size = 0;
};
FileDigest DigestOfBytes(absl::string_view bytes);
// Digest of the blob that has these chunks (32 bytes each), in order.
std::string DigestOfChunks(const std::vector<std::string>& chunks);
absl::StatusOr<FileDigest> DigestOfFile(const std::string& path);

// Many small contents in one request: each after its length, four bytes, the highest first.
void AppendSmall(absl::string_view content, std::string* body);
// False when `body` is cut short. The views are of `body`.
bool CutSmall(absl::string_view body, std::vector<absl::string_view>* contents);

struct TreeOptions {
  std::vector<std::string>
      exclude;  // names (not paths) that are left out, for example "__pycache__", ".git"
  std::vector<std::string> only;  // not empty: the names of the top folder that are taken
  int64_t entries_max = 100000;
  int64_t bytes_max = int64_t{64} << 30;
  // Not null: what cannot be part of a tree (sockets, pipes, links that lead out, names that are
  // not UTF-8) and virtual environments of Python are left out, and named here with the reason.
  std::vector<std::string>* left_out = nullptr;
};
// The tree of a folder: regular files and symbolic links that stay inside it; others are refused by
// name.
absl::StatusOr<v1::Tree> TreeOfFolder(const std::string& folder, const TreeOptions& options);
std::string DigestOfTree(const v1::Tree& tree);
// INVALID_ARGUMENT unless all paths are relative, sorted, unique, without "." or "..", no file
// below a file, no link out.
absl::Status CheckTree(const v1::Tree& tree);

class Client {
 public:
  // `address` host:port, or https://host:port (certificates checked against `ca_file`, or the
  // system's when that is empty); `token` for Authorization: Bearer. Connects at the first call.
  static std::unique_ptr<Client> Make(std::string address, std::string token,
                                      std::string ca_file = "");
  virtual ~Client() = default;
  // `give_up` is asked before every request (each has a deadline of its own); once it says so, all
  // calls end as DEADLINE_EXCEEDED.
  virtual void GiveUpWhen(std::function<bool()> give_up) = 0;
  // `renew` gives another token when the store no longer takes the one there is (a grant lives for
  // an hour only); the request is then made once more.
  using Renew = std::function<absl::StatusOr<std::string>()>;
  virtual void RenewWith(Renew) {}
  virtual absl::StatusOr<std::string> UploadBytes(absl::string_view bytes) = 0;  // digest
  virtual absl::StatusOr<std::string> UploadFile(const std::string& path) = 0;
  struct UploadStats {
    std::string digest;  // of the tree
    int64_t bytes_sent = 0;
    int64_t bytes_total = 0;
  };
  virtual absl::StatusOr<UploadStats> UploadFolder(const std::string& folder,
                                                   const TreeOptions& options) = 0;
  virtual absl::StatusOr<std::string> DownloadBytes(absl::string_view digest,
                                                    int64_t bytes_max) = 0;
  // Writes `path` (created, replaced whole at the end); verified against the digest.
  virtual absl::Status DownloadFile(absl::string_view digest, const std::string& path) = 0;
  // Fills `folder` (made if absent) with the tree; component-wise below a directory handle, follows
  // no link.
  virtual absl::Status DownloadFolder(absl::string_view tree_digest, const std::string& folder) = 0;
  virtual absl::StatusOr<int64_t> PutObject(absl::string_view bucket, absl::string_view name,
                                            absl::string_view digest, int64_t if_generation) = 0;
  // Names every file of a stored tree `bucket`/`prefix`/path (`prefix` may be ""), all at once.
  virtual absl::Status PublishTree(absl::string_view bucket, absl::string_view prefix,
                                   absl::string_view tree_digest) = 0;
};

}  // namespace trainyard::blob

#endif  // TRAINYARD_COMMON_BLOB_BLOB_H_
