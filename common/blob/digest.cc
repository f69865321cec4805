// Digests of blobs: SHA-256 over the concatenated SHA-256s of 8 MiB chunks. Reads a file once, one
// chunk in memory. Thread-safe.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/blob/blob.h"
#include "common/blob/folder_reader.h"
#include "common/file.h"
#include "common/sha256.h"

namespace trainyard::blob {

std::string DigestOfChunks(const std::vector<std::string>& chunks) {
  Sha256 hash;
  for (const std::string& chunk : chunks) hash.Update(chunk);
  return hash.Finish();
}

FileDigest DigestOfBytes(absl::string_view bytes) {
  FileDigest out;
  out.size = static_cast<int64_t>(bytes.size());
  for (; !bytes.empty(); bytes.remove_prefix(std::min<size_t>(bytes.size(), kChunkBytes))) {
    out.chunks.push_back(Sha256Of(bytes.substr(0, kChunkBytes)));
  }
  out.digest = DigestOfChunks(out.chunks);
  return out;
}

absl::StatusOr<FileDigest> DigestOfFd(int fd, const std::string& path) {
  FileDigest out;
  std::string buffer(256 << 10, '\0');
  for (bool end = false; !end;) {
    Sha256 hash;
    int64_t in_chunk = 0;
    while (in_chunk < kChunkBytes) {
      const size_t want =
          std::min<size_t>(buffer.size(), static_cast<size_t>(kChunkBytes - in_chunk));
      const ssize_t n = read(fd, buffer.data(), want);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "cannot read", path);
      end = n == 0;
      if (end) break;
      hash.Update(absl::string_view(buffer.data(), static_cast<size_t>(n)));
      in_chunk += n;
    }
    if (in_chunk == 0) break;
    out.size += in_chunk;
    out.chunks.push_back(hash.Finish());
  }
  out.digest = DigestOfChunks(out.chunks);
  return out;
}

absl::StatusOr<FileDigest> DigestOfFile(const std::string& path) {
  FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoError(errno, "cannot open", path);
  return DigestOfFd(file.get(), path);
}

}  // namespace trainyard::blob
