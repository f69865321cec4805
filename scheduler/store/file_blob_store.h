// Blobs as files: chunks/xx/<hex> holds a chunk, blobs/xx/<hex> the list of a blob's chunks. A file
// appears whole, by rename, after its bytes are on disk; nothing is ever changed. Thread-safe.
#ifndef TRAINYARD_SCHEDULER_STORE_FILE_BLOB_STORE_H_
#define TRAINYARD_SCHEDULER_STORE_FILE_BLOB_STORE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "scheduler/store/store.h"

namespace trainyard::store {

// Chunks of at most blob::kChunkBytes. What a crash left half done below `folder` is removed.
absl::StatusOr<std::unique_ptr<BlobStore>> OpenFileBlobStore(const std::string& folder);

}  // namespace trainyard::store

#endif  // TRAINYARD_SCHEDULER_STORE_FILE_BLOB_STORE_H_
