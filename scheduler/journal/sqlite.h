// SQLite with absl::Status: one connection, prepared statements. Codes: RESOURCE_EXHAUSTED for a
// full disk, DATA_LOSS for a damaged file, UNAVAILABLE while another process holds it, INTERNAL for
// the rest (a failed sync among them). Thread-compatible.
#ifndef TRAINYARD_SCHEDULER_JOURNAL_SQLITE_H_
#define TRAINYARD_SCHEDULER_JOURNAL_SQLITE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct sqlite3;
struct sqlite3_stmt;

namespace trainyard::journal {

class Statement {
 public:
  Statement() = default;
  ~Statement();
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;

  // Columns and parameters count from 1 and 0, as SQLite counts them. Text and blobs must live
  // until the step.
  void BindInt(int parameter, int64_t value);
  void BindBlob(int parameter, absl::string_view value);
  void BindText(int parameter, absl::string_view value);
  // True: a row is here. After the last row, and on error, the statement is reset.
  absl::StatusOr<bool> Step();
  // Runs to the end, ignoring rows.
  absl::Status Run();
  void Reset();
  // DATA_LOSS-free reads: a column of another type gives 0 or "".
  int64_t Int(int column) const;
  absl::string_view Blob(int column) const;
  bool IsInt(int column) const;
  bool IsBlob(int column) const;

 private:
  friend class Database;
  sqlite3* database_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
  std::string path_;
};

class Database {
 public:
  enum class Mode { kReadWriteCreate, kReadOnly };
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path, Mode mode);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  absl::Status Execute(const char* sql);
  absl::StatusOr<Statement> Prepare(const char* sql);
  // First column of the first row of a query, as a number.
  absl::StatusOr<int64_t> QueryInt(const char* sql);
  // Moves what it can from the log into the file, without waiting for anybody. Nobody else does:
  // SQLite's own automatic is off.
  absl::Status Checkpoint();
  // Gives back the pages that it keeps in memory.
  void ReleaseMemory();
  // Whatever runs ends with CANCELLED soon after `stop` is true; `stop` outlives the connection.
  void StopWhen(const std::atomic<bool>* stop);
  // Pages in the write-ahead log at the last commit.
  int log_pages() const { return log_pages_; }

 private:
  Database() = default;
  absl::Status ErrorOf(int code, absl::string_view what) const;
  static int OnCommit(void* self, sqlite3* database, const char* name, int pages);

  std::string path_;
  sqlite3* database_ = nullptr;
  int log_pages_ = 0;
};

}  // namespace trainyard::journal

#endif  // TRAINYARD_SCHEDULER_JOURNAL_SQLITE_H_
