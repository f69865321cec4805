// See sql_object_store.h.
#include "scheduler/store/sql_object_store.h"

#include <sqlite3.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/mutex.h"
#include "common/sha256.h"
#include "common/utf8.h"

namespace trainyard::store {
namespace {

constexpr size_t kNameBytesMax = 1024;
constexpr int kPageDefault = 1000;

constexpr const char* kSchema = R"sql(
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS objects (
    bucket BLOB NOT NULL, name BLOB NOT NULL, generation INTEGER NOT NULL,
    size INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (bucket, name)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS buckets (bucket BLOB PRIMARY KEY, project BLOB NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), next INTEGER NOT NULL);
  INSERT OR IGNORE INTO counter VALUES (1, 1);
)sql";

absl::Status CheckBucketName(absl::string_view bucket) {
  bool good = !bucket.empty() && bucket.size() <= 63 &&
              absl::ascii_isalnum(static_cast<unsigned char>(bucket.front())) &&
              !absl::StrContains(bucket, "..");
  for (const char c : bucket) {
    const auto u = static_cast<unsigned char>(c);
    good = good &&
           (absl::ascii_islower(u) || absl::ascii_isdigit(u) || c == '-' || c == '_' || c == '.');
  }
  if (good) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_NAME",
                   "a bucket's name has 1 to 63 lower case letters, digits, -, _ and ., begins "
                   "with a letter or digit and has no \"..\"",
                   "choose another bucket name", "bucket");
}

absl::Status CheckNames(absl::string_view bucket, absl::string_view name) {
  if (auto status = CheckBucketName(bucket); !status.ok()) return status;
  if (name.size() <= kNameBytesMax && IsUtf8(name) && CheckRelativePath(name).ok())
    return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kInvalidArgument, "BAD_NAME",
      "an object's name is a relative path of at most 1024 bytes of UTF-8 without empty, \".\" "
      "or \"..\" parts",
      "choose another name", "name");
}

// A prepared statement in use: binds in order, resets at the end.
class Use {
 public:
  explicit Use(sqlite3_stmt* statement) : statement_(statement) {}
  ~Use() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  Use& Bind(absl::string_view bytes) {
    // A null pointer would bind NULL.
    sqlite3_bind_blob(statement_, ++bound_, bytes.empty() ? "" : bytes.data(),
                      static_cast<int>(bytes.size()), SQLITE_STATIC);
    return *this;
  }
  Use& Bind(int64_t value) {
    sqlite3_bind_int64(statement_, ++bound_, value);
    return *this;
  }
  int Step() { return sqlite3_step(statement_); }
  int64_t Integer(int column) const { return sqlite3_column_int64(statement_, column); }
  std::string Bytes(int column) const {
    const void* const data = sqlite3_column_blob(statement_, column);
    const auto size = static_cast<size_t>(sqlite3_column_bytes(statement_, column));
    return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), size);
  }

 private:
  sqlite3_stmt* const statement_;
  int bound_ = 0;
};

class SqlObjectStore : public ObjectStore {
 public:
  ~SqlObjectStore() override {
    for (sqlite3_stmt* statement : all_) sqlite3_finalize(statement);
    sqlite3_close(db_);
  }

  absl::Status Open(const std::string& path) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (sqlite3_open_v2(path.c_str(), &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr) !=
        SQLITE_OK) {
      return Failed("cannot open");
    }
    sqlite3_busy_timeout(db_, 5000);
    if (sqlite3_exec(db_, kSchema, nullptr, nullptr, nullptr) != SQLITE_OK) {
      return Failed("cannot prepare");
    }
    const std::pair<sqlite3_stmt**, const char*> wanted[] = {
        {&begin_, "BEGIN IMMEDIATE"},
        {&commit_, "COMMIT"},
        {&rollback_, "ROLLBACK"},
        {&get_, "SELECT generation, size, digest FROM objects WHERE bucket = ? AND name = ?"},
        {&take_, "UPDATE counter SET next = next + 1 RETURNING next - 1"},
        {&put_, "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)"},
        {&delete_, "DELETE FROM objects WHERE bucket = ? AND name = ?"},
        {&list_,
         "SELECT name, generation, size, digest FROM objects WHERE bucket = ? AND name > ? AND "
         "name >= ? ORDER BY name LIMIT ?"},
        {&owner_, "SELECT project FROM buckets WHERE bucket = ?"},
        {&claim_, "INSERT INTO buckets VALUES (?, ?)"},
        {&used_, "SELECT 1 FROM objects WHERE bucket = ? LIMIT 1"},
    };
    for (const auto& [statement, text] : wanted) {
      if (sqlite3_prepare_v3(db_, text, -1, SQLITE_PREPARE_PERSISTENT, statement, nullptr) !=
          SQLITE_OK) {
        return Failed("cannot prepare");
      }
      all_.push_back(*statement);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> Put(absl::string_view bucket, absl::string_view name,
                              absl::string_view blob_digest, int64_t size,
                              int64_t if_generation) override {
    if (auto status = CheckNames(bucket, name); !status.ok()) return status;
    if (blob_digest.size() != kDigestBytes || size < 0) {
      return absl::InvalidArgumentError("an object needs a digest of 32 bytes and a size");
    }
    MutexLock lock(&mutex_);
    int64_t generation = 0;
    const absl::Status status = InTransaction([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      if (auto met = Met(bucket, name, if_generation); !met.ok()) return met;
      return PutRow(bucket, name, blob_digest, size, &generation);
    });
    if (!status.ok()) return status;
    return generation;
  }

  absl::Status PutAll(absl::string_view bucket,
                      const std::vector<v1::ObjectInfo>& objects) override {
    for (const v1::ObjectInfo& object : objects) {
      if (auto status = CheckNames(bucket, object.name()); !status.ok()) return status;
      if (object.digest().size() != kDigestBytes || object.size() < 0) {
        return absl::InvalidArgumentError("an object needs a digest of 32 bytes and a size");
      }
    }
    MutexLock lock(&mutex_);
    return InTransaction([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      for (const v1::ObjectInfo& object : objects) {
        if (HasContent(bucket, object)) continue;
        int64_t generation = 0;
        const absl::Status put =
            PutRow(bucket, object.name(), object.digest(), object.size(), &generation);
        if (!put.ok()) return put;
      }
      return absl::OkStatus();
    });
  }

  absl::StatusOr<v1::ObjectInfo> Get(absl::string_view bucket, absl::string_view name) override {
    if (auto status = CheckNames(bucket, name); !status.ok()) return status;
    MutexLock lock(&mutex_);
    Use get(get_);
    get.Bind(bucket).Bind(name);
    const int code = get.Step();
    if (code == SQLITE_DONE) return Absent(bucket, name);
    if (code != SQLITE_ROW) return Failed("cannot read");
    v1::ObjectInfo info;
    info.set_bucket(std::string(bucket));
    info.set_name(std::string(name));
    info.set_generation(get.Integer(0));
    info.set_size(get.Integer(1));
    info.set_digest(get.Bytes(2));
    return info;
  }

  absl::Status Delete(absl::string_view bucket, absl::string_view name,
                      int64_t if_generation) override {
    if (auto status = CheckNames(bucket, name); !status.ok()) return status;
    MutexLock lock(&mutex_);
    return InTransaction([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      if (auto met = Met(bucket, name, if_generation); !met.ok()) return met;
      Use remove(delete_);
      remove.Bind(bucket).Bind(name);
      if (remove.Step() != SQLITE_DONE) return Failed("cannot delete");
      return sqlite3_changes(db_) == 0 ? Absent(bucket, name) : absl::OkStatus();
    });
  }

  absl::StatusOr<v1::ListObjectsResponse> List(const v1::ListObjectsRequest& request) override {
    if (auto status = CheckBucketName(request.bucket()); !status.ok()) return status;
    const int wanted =
        request.page_size() > 0 ? std::min(request.page_size(), kPageDefault) : kPageDefault;
    v1::ListObjectsResponse response;
    MutexLock lock(&mutex_);
    Use list(list_);
    list.Bind(request.bucket()).Bind(request.page_token()).Bind(request.prefix()).Bind(wanted + 1);
    for (;;) {
      const int code = list.Step();
      if (code == SQLITE_DONE) return response;
      if (code != SQLITE_ROW) return Failed("cannot list");
      const std::string name = list.Bytes(0);
      // Ordered by bytes: all names with the prefix come together.
      if (!absl::StartsWith(name, request.prefix())) return response;
      if (response.objects_size() == wanted) {
        response.set_next_page_token(response.objects(wanted - 1).name());
        return response;
      }
      v1::ObjectInfo* object = response.add_objects();
      object->set_bucket(request.bucket());
      object->set_name(name);
      object->set_generation(list.Integer(1));
      object->set_size(list.Integer(2));
      object->set_digest(list.Bytes(3));
    }
  }

  absl::Status CheckBucket(absl::string_view bucket, absl::string_view project,
                           bool claim) override {
    if (auto status = CheckBucketName(bucket); !status.ok()) return status;
    if (project.empty()) return absl::OkStatus();
    MutexLock lock(&mutex_);
    return InTransaction([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      Use owner(owner_);
      const int code = owner.Bind(bucket).Step();
      if (code == SQLITE_ROW) {
        if (owner.Bytes(0) == project) return absl::OkStatus();
        return MakeError(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
                         absl::StrCat("bucket ", bucket, " belongs to another project"),
                         "use a bucket of your own project");
      }
      if (code != SQLITE_DONE) return Failed("cannot read");
      if (!claim) return absl::OkStatus();
      Use used(used_);
      if (used.Bind(bucket).Step() == SQLITE_ROW) return absl::OkStatus();
      Use insert(claim_);
      insert.Bind(bucket).Bind(project);
      return insert.Step() == SQLITE_DONE ? absl::OkStatus() : Failed("cannot claim");
    });
  }

 private:
  absl::Status Failed(absl::string_view what) const {
    const int code = db_ == nullptr ? SQLITE_NOMEM : sqlite3_errcode(db_);
    if (code == SQLITE_FULL) {
      return MakeError(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                       "the store's disk is full", "free space on the scheduler's disk");
    }
    return absl::InternalError(absl::StrCat(
        "objects: ", what, ": ", db_ == nullptr ? "out of memory" : sqlite3_errmsg(db_)));
  }

  static absl::Status Absent(absl::string_view bucket, absl::string_view name) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat("there is no object ", bucket, "/", name),
                     "list the bucket to see its names");
  }

  absl::Status PutRow(absl::string_view bucket, absl::string_view name, absl::string_view digest,
                      int64_t size, int64_t* generation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    {
      Use take(take_);
      if (take.Step() != SQLITE_ROW) return Failed("cannot count");
      *generation = take.Integer(0);
      if (take.Step() != SQLITE_DONE) return Failed("cannot count");
    }
    Use put(put_);
    put.Bind(bucket).Bind(name).Bind(*generation).Bind(size).Bind(digest);
    return put.Step() == SQLITE_DONE ? absl::OkStatus() : Failed("cannot put");
  }

  bool HasContent(absl::string_view bucket, const v1::ObjectInfo& object)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Use get(get_);
    return get.Bind(bucket).Bind(object.name()).Step() == SQLITE_ROW &&
           get.Bytes(2) == object.digest();
  }

  // OK when the object's generation is what the caller expects.
  absl::Status Met(absl::string_view bucket, absl::string_view name, int64_t if_generation)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (if_generation < 0) return absl::OkStatus();
    Use get(get_);
    const int code = get.Bind(bucket).Bind(name).Step();
    if (code != SQLITE_ROW && code != SQLITE_DONE) return Failed("cannot read");
    const int64_t generation = code == SQLITE_ROW ? get.Integer(0) : 0;
    if (generation == if_generation) return absl::OkStatus();
    return MakeError(absl::StatusCode::kAborted, "ETAG_MISMATCH",
                     absl::StrCat(bucket, "/", name, " has generation ", generation,
                                  ", not the expected ", if_generation),
                     "read it again and decide anew");
  }

  template <class Body>
  absl::Status InTransaction(const Body& body) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (Use(begin_).Step() != SQLITE_DONE) return Failed("cannot begin");
    absl::Status status = body();
    if (status.ok() && Use(commit_).Step() != SQLITE_DONE) status = Failed("cannot commit");
    if (!status.ok() && sqlite3_get_autocommit(db_) == 0) Use(rollback_).Step();
    return status;
  }

  Mutex mutex_;
  sqlite3* db_ = nullptr;
  sqlite3_stmt *begin_ = nullptr, *commit_ = nullptr, *rollback_ = nullptr, *get_ = nullptr,
               *take_ = nullptr, *put_ = nullptr, *delete_ = nullptr, *list_ = nullptr,
               *owner_ = nullptr, *claim_ = nullptr, *used_ = nullptr;
  std::vector<sqlite3_stmt*> all_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ObjectStore>> OpenSqlObjectStore(const std::string& path) {
  auto store = std::make_unique<SqlObjectStore>();
  if (auto status = store->Open(path); !status.ok()) return status;
  return store;
}

}  // namespace trainyard::store
