// The whole store below one folder. A lock file keeps a second process out: two would not see each
// other's writes in progress.
#include "scheduler/store/store.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/file.h"
#include "scheduler/store/file_blob_store.h"
#include "scheduler/store/segment_log_store.h"
#include "scheduler/store/segment_metric_store.h"
#include "scheduler/store/sql_object_store.h"

namespace trainyard::store {
namespace {

class FolderStore : public Store {
 public:
  FolderStore(FileDescriptor lock, std::unique_ptr<BlobStore> blobs,
              std::unique_ptr<ObjectStore> objects, const std::string& folder)
      : lock_(std::move(lock)),
        blobs_(std::move(blobs)),
        objects_(std::move(objects)),
        logs_(MakeSegmentLogStore(JoinPath(folder, "logs"), {})),
        metrics_(MakeSegmentMetricStore(JoinPath(folder, "metrics"), {})) {}
  BlobStore& blobs() override { return *blobs_; }
  ObjectStore& objects() override { return *objects_; }
  LogStore& logs() override { return *logs_; }
  MetricStore& metrics() override { return *metrics_; }

 private:
  const FileDescriptor lock_;
  const std::unique_ptr<BlobStore> blobs_;
  const std::unique_ptr<ObjectStore> objects_;
  const std::unique_ptr<LogStore> logs_;
  const std::unique_ptr<MetricStore> metrics_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenStore(const std::string& folder) {
  if (auto status = MakeFolders(folder, 0700); !status.ok()) return status;
  const std::string path = JoinPath(folder, "lock");
  FileDescriptor lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) return ErrnoError(errno, "cannot open", path);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "ALREADY_RUNNING",
                     absl::StrCat("another process uses the store in ", folder),
                     "stop it first, or give this one another folder");
  }
  auto blobs = OpenFileBlobStore(folder);
  if (!blobs.ok()) return blobs.status();
  auto objects = OpenSqlObjectStore(JoinPath(folder, "objects.db"));
  if (!objects.ok()) return objects.status();
  return std::make_unique<FolderStore>(std::move(lock), *std::move(blobs), *std::move(objects),
                                       folder);
}

}  // namespace trainyard::store
