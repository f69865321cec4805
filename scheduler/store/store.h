// Bulk data beside the core: blobs, objects, logs, metrics. Own threads; nothing here runs on the
// owner thread. Everything is below one folder: chunks/, blobs/, objects.db, logs/, metrics/.
#ifndef TRAINYARD_SCHEDULER_STORE_STORE_H_
#define TRAINYARD_SCHEDULER_STORE_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "trainyard/agent/v1/agent.pb.h"
#include "trainyard/v1/artifact.pb.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::store {

// Content-addressed bytes. Thread-safe.
class BlobStore {
 public:
  virtual ~BlobStore() = default;
  // Those of `digests` (32 bytes each) that are absent.
  virtual std::vector<std::string> Missing(const std::vector<std::string>& digests) = 0;
  // The same of blobs; one that is there has all its chunks.
  virtual std::vector<std::string> MissingBlobs(const std::vector<std::string>& digests) = 0;
  // Durable when OK. INVALID_ARGUMENT (STORE_CORRUPT) unless `bytes` hash to `digest`.
  virtual absl::Status PutChunk(absl::string_view digest, absl::string_view bytes) = 0;
  // Ties chunks to a blob and returns its digest; durable. FAILED_PRECONDITION when chunks are
  // absent.
  virtual absl::StatusOr<std::string> PutBlob(int64_t size,
                                              const std::vector<std::string>& chunks) = 0;
  // Many blobs of at most 8 MiB each, at the price of a few syncs for all; durable. Their digests,
  // in order. On an error any of them may be there or not.
  virtual absl::StatusOr<std::vector<std::string>> PutSmall(
      const std::vector<absl::string_view>& contents) = 0;
  struct BlobInfo {
    int64_t size = 0;
    std::vector<std::string> chunks;
  };
  virtual absl::StatusOr<BlobInfo> Stat(absl::string_view digest) = 0;
  // One whole chunk, verified; INTERNAL (STORE_CORRUPT) when the disk lies.
  virtual absl::StatusOr<std::string> GetChunk(absl::string_view digest) = 0;
  // A whole small blob (at most `bytes_max`).
  virtual absl::StatusOr<std::string> GetBlob(absl::string_view digest, int64_t bytes_max) = 0;
};

// Mutable names with generations. Thread-safe.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  // `if_generation`: -1 any, 0 must not exist, else must equal; ABORTED (ETAG_MISMATCH) otherwise.
  // Durable.
  virtual absl::StatusOr<int64_t> Put(absl::string_view bucket, absl::string_view name,
                                      absl::string_view blob_digest, int64_t size,
                                      int64_t if_generation) = 0;
  // Many names at once: all of them or, on an error, none. A name that has the same content already
  // keeps its generation. Durable.
  virtual absl::Status PutAll(absl::string_view bucket,
                              const std::vector<v1::ObjectInfo>& objects) = 0;
  virtual absl::StatusOr<v1::ObjectInfo> Get(absl::string_view bucket, absl::string_view name) = 0;
  virtual absl::Status Delete(absl::string_view bucket, absl::string_view name,
                              int64_t if_generation) = 0;
  virtual absl::StatusOr<v1::ListObjectsResponse> List(const v1::ListObjectsRequest& request) = 0;
  // May `project` use the bucket? A bucket belongs to the project that wrote into it first; one
  // first written without a project (by an administrator) is everybody's. PERMISSION_DENIED for
  // another project's. With `claim`, a bucket that nobody wrote into becomes the project's
  // (durable).
  virtual absl::Status CheckBucket(absl::string_view bucket, absl::string_view project,
                                   bool claim) = 0;
};

// Logs of attempts: live tail and sealed segments. A cursor names a place in a job's merged log and
// stays valid. Order: arrival. Thread-safe.
class LogStore {
 public:
  virtual ~LogStore() = default;
  // Idempotent by (key, rank, is_stderr, offset): bytes already there are skipped. The next offset
  // wanted of that stream is returned. Durable to a crash of the process (not to a power cut) when
  // OK.
  virtual absl::StatusOr<int64_t> Append(absl::string_view project, absl::string_view job_id,
                                         uint64_t job_uid, int32_t trial,
                                         const agent::v1::LogChunk& chunk,
                                         absl::string_view node) = 0;
  struct Page {
    std::vector<v1::LogLine> lines;
    std::string next_cursor;  // continue here
    bool at_end = false;      // nothing more now
  };
  // Lines after `cursor` ("": from the start), filtered; at most `lines_max`.
  virtual absl::StatusOr<Page> Read(uint64_t job_uid, const v1::TailLogsRequest& filter,
                                    absl::string_view cursor, int lines_max) = 0;
  // `on_data` is called (any thread, no lock held) when the job has new lines. After Unsubscribe
  // has returned no call runs any more (but the one it is called from): do not hold a lock there
  // that `on_data` takes.
  virtual uint64_t Subscribe(uint64_t job_uid, std::function<void()> on_data) = 0;
  virtual void Unsubscribe(uint64_t subscription) = 0;
};

// Metric points, outside the core. Thread-safe.
class MetricStore {
 public:
  virtual ~MetricStore() = default;
  // Idempotent by (key, offset). Returns the next offset wanted.
  virtual absl::StatusOr<int64_t> Append(uint64_t job_uid, int32_t trial,
                                         const agent::v1::MetricBatch& batch) = 0;
  virtual absl::StatusOr<v1::ListMetricsResponse> List(uint64_t job_uid,
                                                       const v1::ListMetricsRequest& request) = 0;
};

class Store {
 public:
  virtual ~Store() = default;
  virtual BlobStore& blobs() = 0;
  virtual ObjectStore& objects() = 0;
  virtual LogStore& logs() = 0;
  virtual MetricStore& metrics() = 0;
};
absl::StatusOr<std::unique_ptr<Store>> OpenStore(const std::string& folder);

// HTTP face of blobs and objects (docs/architecture.md lists the verbs). Own threads; stops in the
// destructor.
class HttpServer {
 public:
  // What a bearer token may do with the store. Called on server threads.
  struct Access {
    bool read = false;
    bool write = false;
    std::string project;  // empty: all
  };
  using Authorizer = std::function<absl::StatusOr<Access>(absl::string_view bearer_token)>;
  struct Options {
    std::string listen = "127.0.0.1:0";
    int threads = 4;
    Authorizer authorize;
    std::string tls_certificate_file;  // both or none
    std::string tls_key_file;
  };
  virtual ~HttpServer() = default;
  virtual std::string address() const = 0;  // host:port, the real port
};
absl::StatusOr<std::unique_ptr<HttpServer>> StartHttpServer(Store* store,
                                                            HttpServer::Options options);

}  // namespace trainyard::store

#endif  // TRAINYARD_SCHEDULER_STORE_STORE_H_
