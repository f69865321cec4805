// See file_blob_store.h.
//
// A file that exists counts as durable: at opening, the file system is synced once (a crash may
// have left renames that only memory knew), and while this process runs a name being written is
// held in `busy_`, so that a second writer of the same bytes waits for the first one's sync.
#include "scheduler/store/file_blob_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <bitset>
#include <cerrno>
#include <map>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/blob/blob.h"
#include "common/errors.h"
#include "common/fault_point.h"
#include "common/file.h"
#include "common/mutex.h"
#include "common/sha256.h"

namespace trainyard::store {
namespace {

constexpr absl::string_view kManifestHead = "trainyard blob 1\n";

absl::Status Corrupt(absl::StatusCode code, absl::string_view message) {
  return MakeError(code, "STORE_CORRUPT", message,
                   code == absl::StatusCode::kInvalidArgument
                       ? "send the bytes again"
                       : "upload the content again; look after the disk");
}

absl::Status CheckDigest(absl::string_view digest) {
  if (digest.size() == kDigestBytes) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "INVALID_ARGUMENT",
                   absl::StrCat("a digest has ", kDigestBytes, " bytes, this one ", digest.size()),
                   "send the SHA-256 of the content");
}

absl::Status Absent(absl::string_view what, absl::string_view digest) {
  return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                   absl::StrCat("the store holds no ", what, " ", HexOf(digest)),
                   "upload it first");
}

absl::Status DiskError(int error, absl::string_view what, const std::string& path) {
  if (error != ENOSPC && error != EDQUOT) return ErrnoError(error, what, path);
  return MakeError(absl::StatusCode::kResourceExhausted, "DISK_FULL", "the store's disk is full",
                   "free space on the scheduler's disk");
}

// One of the two families of files.
class Shelf {
 public:
  absl::Status Open(const std::string& folder) {
    folder_ = folder;
    const std::string incoming = absl::StrCat(folder, "/incoming");
    if (auto status = MakeFolders(incoming, 0700); !status.ok()) return status;
    auto left = ListFolder(incoming);
    if (!left.ok()) return left.status();
    for (const std::string& name : *left) {
      // Damaged files stay as evidence.
      if (!absl::StartsWith(name, "corrupt-")) unlink(JoinPath(incoming, name).c_str());
    }
    return absl::OkStatus();
  }

  std::string PathOf(absl::string_view digest) const {
    const std::string hex = HexOf(digest);
    return absl::StrCat(folder_, "/", hex.substr(0, 2), "/", hex);
  }

  // Size, or -1 when absent. Present means durable.
  int64_t SizeOf(absl::string_view digest) {
    struct stat info {};
    if (!Settle(digest, false).ok()) return -1;
    if (stat(PathOf(digest).c_str(), &info) != 0) return -1;
    MutexLock lock(&mutex_);
    return busy_.contains(digest) ? -1 : info.st_size;
  }

  absl::Status Put(absl::string_view digest, absl::string_view bytes) {
    if (auto status = Settle(digest, true); !status.ok()) return status;
    if (!Claim(digest, bytes.size())) return absl::OkStatus();
    const absl::Status status = Write(PathOf(digest), bytes);
    MutexLock lock(&mutex_);
    busy_.erase(digest);
    done_.NotifyAll();
    return status;
  }

  // Many at once, keyed by digest: two syncs of the file system stand for those of each file.
  absl::Status PutMany(const std::map<std::string, std::string>& files) {
    std::bitset<256> shards;
    for (const auto& [digest, bytes] : files) shards.set(static_cast<unsigned char>(digest[0]));
    if (auto status = MakeShards(shards); !status.ok()) return status;
    std::vector<Incoming> incoming;
    absl::Status status;
    for (const auto& [digest, bytes] : files) {
      if (!Claim(digest, bytes.size())) continue;
      incoming.push_back({digest, absl::StrCat(folder_, "/incoming/", next_.fetch_add(1))});
      status = WriteUnsynced(incoming.back().temporary, bytes);
      if (!status.ok()) break;
    }
    TRAINYARD_FAULT_POINT("store.before_sync");
    if (status.ok()) status = SyncFileSystem();
    TRAINYARD_FAULT_POINT("store.before_rename");
    for (size_t i = 0; i < incoming.size() && status.ok(); ++i) {
      const std::string path = PathOf(incoming[i].digest);
      if (rename(incoming[i].temporary.c_str(), path.c_str()) != 0) {
        status = DiskError(errno, "cannot rename to", path);
      }
    }
    TRAINYARD_FAULT_POINT("store.before_folder_sync");
    if (status.ok()) status = SyncFileSystem();
    for (const Incoming& file : incoming) {
      if (status.ok()) break;
      unlink(file.temporary.c_str());
      unlink(PathOf(file.digest).c_str());
    }
    if (status.ok()) {
      MutexLock lock(&settle_mutex_);
      settled_ |= shards;
    }
    MutexLock lock(&mutex_);
    for (const Incoming& file : incoming) busy_.erase(file.digest);
    done_.NotifyAll();
    return status;
  }

  absl::StatusOr<std::string> Get(absl::string_view what, absl::string_view digest,
                                  size_t bytes_max) {
    const std::string path = PathOf(digest);
    FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid()) {
      return errno == ENOENT ? Absent(what, digest) : ErrnoError(errno, "cannot open", path);
    }
    struct stat info {};
    if (fstat(file.get(), &info) != 0) return ErrnoError(errno, "cannot look at", path);
    if (info.st_size > static_cast<off_t>(bytes_max)) {
      return Corrupt(absl::StatusCode::kInternal, absl::StrCat(path, " is too long"));
    }
    std::string bytes(static_cast<size_t>(info.st_size), '\0');
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t n = read(file.get(), bytes.data() + done, bytes.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "cannot read", path);
      if (n == 0) return Corrupt(absl::StatusCode::kInternal, absl::StrCat(path, " is cut short"));
      done += static_cast<size_t>(n);
    }
    return bytes;
  }

  // Moves a file whose content is wrong out of the way, so that it can be uploaded again.
  void Condemn(absl::string_view digest) {
    MutexLock lock(&mutex_);
    if (busy_.contains(digest)) return;
    const std::string path = PathOf(digest);
    rename(path.c_str(), absl::StrCat(folder_, "/incoming/corrupt-", HexOf(digest)).c_str());
  }

 private:
  struct Incoming {
    std::string digest, temporary;
  };

  // Waits until nobody writes it; false when it is there, else it is the caller's to write. Several
  // are claimed in rising order, so that two callers never wait for each other.
  bool Claim(absl::string_view digest, size_t size) {
    MutexLock lock(&mutex_);
    while (busy_.contains(digest)) done_.Wait(&mutex_);
    struct stat info {};
    // A file of another length is a lie of the disk: write it anew.
    const bool there = stat(PathOf(digest).c_str(), &info) == 0;
    if (there && info.st_size == static_cast<off_t>(size)) return false;
    busy_.insert(std::string(digest));
    return true;
  }

  absl::Status MakeShards(const std::bitset<256>& shards) {
    for (size_t shard = 0; shard < shards.size(); ++shard) {
      if (!shards[shard]) continue;
      const std::string folder = absl::StrCat(folder_, "/", absl::Hex(shard, absl::kZeroPad2));
      if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
        return DiskError(errno, "cannot make folder", folder);
      }
    }
    return absl::OkStatus();
  }

  absl::Status SyncFileSystem() {
    FileDescriptor folder(open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder.valid()) return ErrnoError(errno, "cannot open", folder_);
    if (syncfs(folder.get()) != 0) return DiskError(errno, "cannot sync", folder_);
    return absl::OkStatus();
  }

  static absl::Status WriteUnsynced(const std::string& path, absl::string_view bytes) {
    FileDescriptor file(
        open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.valid()) return DiskError(errno, "cannot create", path);
    const absl::Status written = WriteAll(file.get(), bytes);
    return absl::IsResourceExhausted(written) ? DiskError(ENOSPC, "", "") : written;
  }

  // Syncs the digest's folder when it is used for the first time, and makes it if asked to.
  absl::Status Settle(absl::string_view digest, bool make) {
    const auto shard = static_cast<unsigned char>(digest.front());
    MutexLock lock(&settle_mutex_);
    if (settled_[shard]) return absl::OkStatus();
    const std::string path = PathOf(digest);
    const std::string folder = path.substr(0, path.rfind('/'));
    if (make && mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
      return DiskError(errno, "cannot make folder", folder);
    }
    absl::Status status = FsyncFolder(folder);
    if (status.ok()) status = FsyncFolder(folder_);
    settled_[shard] = status.ok();
    return status;
  }

  absl::Status Write(const std::string& path, absl::string_view bytes) {
    const std::string temporary = absl::StrCat(folder_, "/incoming/", next_.fetch_add(1));
    FileDescriptor file(
        open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.valid()) return DiskError(errno, "cannot create", temporary);
    absl::Status status;
    if (auto written = WriteAll(file.get(), bytes); !written.ok()) {
      status = absl::IsResourceExhausted(written) ? DiskError(ENOSPC, "", "") : written;
    }
    TRAINYARD_FAULT_POINT("store.before_sync");
    if (status.ok() && fdatasync(file.get()) != 0) {
      status = DiskError(errno, "cannot sync", temporary);
    }
    TRAINYARD_FAULT_POINT("store.before_rename");
    if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
      status = DiskError(errno, "cannot rename to", path);
    }
    if (!status.ok()) {
      unlink(temporary.c_str());
      return status;
    }
    TRAINYARD_FAULT_POINT("store.before_folder_sync");
    status = FsyncFolder(path.substr(0, path.rfind('/')));
    if (!status.ok()) unlink(path.c_str());
    return status;
  }

  std::string folder_;
  std::atomic<uint64_t> next_{0};
  Mutex settle_mutex_;
  std::bitset<256> settled_ ABSL_GUARDED_BY(settle_mutex_);
  Mutex mutex_;
  CondVar done_;
  absl::flat_hash_set<std::string> busy_ ABSL_GUARDED_BY(mutex_);
};

// Size a chunk must have by its place in the blob.
int64_t ChunkSize(int64_t size, size_t chunks, size_t index) {
  return index + 1 < chunks ? blob::kChunkBytes
                            : size - static_cast<int64_t>(chunks - 1) * blob::kChunkBytes;
}

bool SizeFits(int64_t size, size_t chunks) {
  const auto count = static_cast<int64_t>(chunks);
  return chunks == 0 ? size == 0
                     : size > (count - 1) * blob::kChunkBytes && size <= count * blob::kChunkBytes;
}

class FileBlobStore : public BlobStore {
 public:
  absl::Status Open(const std::string& folder) {
    if (auto status = MakeFolders(folder, 0700); !status.ok()) return status;
    if (auto status = chunks_.Open(JoinPath(folder, "chunks")); !status.ok()) return status;
    if (auto status = blobs_.Open(JoinPath(folder, "blobs")); !status.ok()) return status;
    return FsyncFolder(folder);
  }

  std::vector<std::string> Missing(const std::vector<std::string>& digests) override {
    return AbsentFrom(&chunks_, digests);
  }

  std::vector<std::string> MissingBlobs(const std::vector<std::string>& digests) override {
    return AbsentFrom(&blobs_, digests);
  }

  absl::Status PutChunk(absl::string_view digest, absl::string_view bytes) override {
    if (auto status = CheckDigest(digest); !status.ok()) return status;
    if (bytes.empty() || bytes.size() > blob::kChunkBytes) return TooLong(bytes.size());
    if (Sha256Of(bytes) != digest) {
      return Corrupt(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("the bytes do not hash to ", HexOf(digest)));
    }
    return chunks_.Put(digest, bytes);
  }

  absl::StatusOr<std::string> PutBlob(int64_t size,
                                      const std::vector<std::string>& chunks) override {
    for (const std::string& chunk : chunks) {
      if (auto status = CheckDigest(chunk); !status.ok()) return status;
    }
    if (!SizeFits(size, chunks.size())) {
      return MakeError(absl::StatusCode::kInvalidArgument, "INVALID_ARGUMENT",
                       absl::StrCat(size, " bytes do not make ", chunks.size(),
                                    " chunks of 8 MiB, the last one shorter"),
                       "send the size of the whole content");
    }
    for (size_t i = 0; i < chunks.size(); ++i) {
      const int64_t there = chunks_.SizeOf(chunks[i]);
      if (there < 0) return MissingChunk(chunks[i]);
      if (there != ChunkSize(size, chunks.size(), i)) {
        return MakeError(
            absl::StatusCode::kInvalidArgument, "INVALID_ARGUMENT",
            absl::StrCat("chunk ", i, " has ", there, " bytes, its place in a blob of ", size,
                         " wants ", ChunkSize(size, chunks.size(), i)),
            "cut the content into chunks of 8 MiB");
      }
    }
    const std::string digest = blob::DigestOfChunks(chunks);
    if (auto status = blobs_.Put(digest, ManifestOf(size, chunks)); !status.ok()) return status;
    return digest;
  }

  absl::StatusOr<std::vector<std::string>> PutSmall(
      const std::vector<absl::string_view>& contents) override {
    std::map<std::string, std::string> chunks, manifests;
    std::vector<std::string> digests;
    for (const absl::string_view bytes : contents) {
      if (bytes.size() > blob::kChunkBytes) return TooLong(bytes.size());
      const blob::FileDigest digest = blob::DigestOfBytes(bytes);
      digests.push_back(digest.digest);
      if (!bytes.empty()) chunks.emplace(digest.chunks[0], std::string(bytes));
      manifests.emplace(digest.digest, ManifestOf(digest.size, digest.chunks));
    }
    if (auto status = chunks_.PutMany(chunks); !status.ok()) return status;
    if (auto status = blobs_.PutMany(manifests); !status.ok()) return status;
    return digests;
  }

  absl::StatusOr<BlobInfo> Stat(absl::string_view digest) override {
    if (auto status = CheckDigest(digest); !status.ok()) return status;
    auto manifest = blobs_.Get("blob", digest, size_t{256} << 20);
    if (!manifest.ok()) return manifest.status();
    BlobInfo info;
    if (Parse(*manifest, &info) && SizeFits(info.size, info.chunks.size()) &&
        blob::DigestOfChunks(info.chunks) == digest) {
      return info;
    }
    blobs_.Condemn(digest);
    return Corrupt(absl::StatusCode::kInternal,
                   absl::StrCat("the list of blob ", HexOf(digest), " is damaged"));
  }

  absl::StatusOr<std::string> GetChunk(absl::string_view digest) override {
    if (auto status = CheckDigest(digest); !status.ok()) return status;
    auto bytes = chunks_.Get("chunk", digest, blob::kChunkBytes);
    if (!bytes.ok()) return bytes;
    if (Sha256Of(*bytes) == digest) return bytes;
    chunks_.Condemn(digest);
    return Corrupt(absl::StatusCode::kInternal,
                   absl::StrCat("chunk ", HexOf(digest), " is damaged on disk"));
  }

  absl::StatusOr<std::string> GetBlob(absl::string_view digest, int64_t bytes_max) override {
    auto info = Stat(digest);
    if (!info.ok()) return info.status();
    if (info->size > bytes_max) {
      return MakeError(absl::StatusCode::kResourceExhausted, "RESOURCE_EXHAUSTED",
                       absl::StrCat("blob ", HexOf(digest), " has ", info->size,
                                    " bytes, more than ", bytes_max),
                       "");
    }
    std::string bytes;
    bytes.reserve(static_cast<size_t>(info->size));
    for (const std::string& chunk : info->chunks) {
      auto piece = GetChunk(chunk);
      if (!piece.ok()) return piece;
      bytes += *piece;
    }
    if (static_cast<int64_t>(bytes.size()) == info->size) return bytes;
    return Corrupt(absl::StatusCode::kInternal,
                   absl::StrCat("blob ", HexOf(digest), " has another length than its list says"));
  }

 private:
  static std::vector<std::string> AbsentFrom(Shelf* shelf,
                                             const std::vector<std::string>& digests) {
    std::vector<std::string> absent;
    for (const std::string& digest : digests) {
      if (digest.size() != kDigestBytes || shelf->SizeOf(digest) < 0) absent.push_back(digest);
    }
    return absent;
  }

  static absl::Status TooLong(size_t bytes) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "INVALID_ARGUMENT",
        absl::StrCat("a chunk has 1 to ", blob::kChunkBytes, " bytes, this one ", bytes),
        "cut the content into chunks of 8 MiB");
  }

  static std::string ManifestOf(int64_t size, const std::vector<std::string>& chunks) {
    std::string manifest = absl::StrCat(kManifestHead, size, "\n");
    for (const std::string& chunk : chunks) manifest += chunk;
    return manifest;
  }

  static absl::Status MissingChunk(absl::string_view digest) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                     absl::StrCat("chunk ", HexOf(digest), " is not in the store"),
                     "send the missing chunks first");
  }

  static bool Parse(absl::string_view manifest, BlobInfo* info) {
    if (!absl::ConsumePrefix(&manifest, kManifestHead)) return false;
    const size_t line = manifest.find('\n');
    if (line == absl::string_view::npos ||
        !absl::SimpleAtoi(manifest.substr(0, line), &info->size)) {
      return false;
    }
    manifest.remove_prefix(line + 1);
    if (manifest.size() % kDigestBytes != 0) return false;
    for (; !manifest.empty(); manifest.remove_prefix(kDigestBytes)) {
      info->chunks.emplace_back(manifest.substr(0, kDigestBytes));
    }
    return true;
  }

  Shelf chunks_;
  Shelf blobs_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<BlobStore>> OpenFileBlobStore(const std::string& folder) {
  auto store = std::make_unique<FileBlobStore>();
  if (auto status = store->Open(folder); !status.ok()) return status;
  return store;
}

}  // namespace trainyard::store
