// See sqlite.h.
#include "scheduler/journal/sqlite.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "sqlite3.h"

namespace trainyard::journal {
namespace {

constexpr int kStepsBetweenLooks = 10'000;  // of SQLite's virtual machine: less than a millisecond

absl::Status StatusOf(int code, sqlite3* database, absl::string_view path) {
  const std::string text = absl::StrCat(
      path, ": ", database == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(database),
      " (SQLite ", code, ")");
  switch (code & 0xff) {
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:  // with our fixed statements: the schema is damaged
    case SQLITE_MISMATCH:
    case SQLITE_FORMAT:
      return absl::DataLossError(text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(text);
    case SQLITE_INTERRUPT:
      return absl::CancelledError(text);
    default:
      return absl::InternalError(text);
  }
}

}  // namespace

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      path_(std::move(other.path_)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(database_, other.database_);
  std::swap(statement_, other.statement_);
  std::swap(path_, other.path_);
  return *this;
}

void Statement::BindInt(int parameter, int64_t value) {
  sqlite3_bind_int64(statement_, parameter, value);
}
void Statement::BindBlob(int parameter, absl::string_view value) {
  // A null pointer would bind NULL: an empty blob is not that.
  const char* data = value.data() == nullptr ? "" : value.data();
  sqlite3_bind_blob64(statement_, parameter, data, value.size(), SQLITE_STATIC);
}
void Statement::BindText(int parameter, absl::string_view value) {
  const char* data = value.data() == nullptr ? "" : value.data();
  sqlite3_bind_text64(statement_, parameter, data, value.size(), SQLITE_STATIC, SQLITE_UTF8);
}

absl::StatusOr<bool> Statement::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  absl::Status status;
  if (code != SQLITE_DONE) status = StatusOf(code, database_, path_);
  Reset();
  if (!status.ok()) return status;
  return false;
}

absl::Status Statement::Run() {
  while (true) {
    const absl::StatusOr<bool> row = Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
  }
}

void Statement::Reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }
absl::string_view Statement::Blob(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  if (data == nullptr) return "";
  return absl::string_view(static_cast<const char*>(data), static_cast<size_t>(size));
}
bool Statement::IsInt(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_INTEGER;
}
bool Statement::IsBlob(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_BLOB;
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path, Mode mode) {
  std::unique_ptr<Database> database(new Database);
  database->path_ = path;
  const int flags =
      mode == Mode::kReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  const int code = sqlite3_open_v2(path.c_str(), &database->database_,
                                   flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, nullptr);
  if (code != SQLITE_OK) return database->ErrorOf(code, "open");
  sqlite3_extended_result_codes(database->database_, 1);
  sqlite3_busy_timeout(database->database_, 5000);
  sqlite3_wal_hook(database->database_, &Database::OnCommit, database.get());
  return database;
}

Database::~Database() { sqlite3_close_v2(database_); }

int Database::OnCommit(void* self, sqlite3*, const char*, int pages) {
  static_cast<Database*>(self)->log_pages_ = pages;
  return SQLITE_OK;
}

absl::Status Database::ErrorOf(int code, absl::string_view what) const {
  const absl::Status status = StatusOf(code, database_, path_);
  return absl::Status(status.code(), absl::StrCat(what, ": ", status.message()));
}

absl::Status Database::Execute(const char* sql) {
  const int code = sqlite3_exec(database_, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : ErrorOf(code, sql);
}

absl::StatusOr<Statement> Database::Prepare(const char* sql) {
  Statement statement;
  statement.database_ = database_;
  statement.path_ = path_;
  const int code = sqlite3_prepare_v3(database_, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                      &statement.statement_, nullptr);
  if (code != SQLITE_OK) return ErrorOf(code, sql);
  return statement;
}

absl::StatusOr<int64_t> Database::QueryInt(const char* sql) {
  absl::StatusOr<Statement> statement = Prepare(sql);
  if (!statement.ok()) return statement.status();
  const absl::StatusOr<bool> row = statement->Step();
  if (!row.ok()) return row.status();
  return *row ? statement->Int(0) : 0;
}

void Database::ReleaseMemory() { sqlite3_db_release_memory(database_); }

void Database::StopWhen(const std::atomic<bool>* stop) {
  const auto stops = [](void* flag) {
    return static_cast<const std::atomic<bool>*>(flag)->load() ? 1 : 0;
  };
  sqlite3_progress_handler(database_, kStepsBetweenLooks, stops,
                           const_cast<std::atomic<bool>*>(stop));
}

absl::Status Database::Checkpoint() {
  const int code =
      sqlite3_wal_checkpoint_v2(database_, nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if (code == SQLITE_OK || (code & 0xff) == SQLITE_BUSY) return absl::OkStatus();
  return ErrorOf(code, "checkpoint");
}

}  // namespace trainyard::journal
