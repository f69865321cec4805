// See row_file.h.
#include "scheduler/journal/row_file.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/fault_point.h"
#include "scheduler/journal/hash64.h"

namespace trainyard::journal {
namespace {

constexpr int kLive = 0;
constexpr int kOld = 1;
constexpr int kLogPagesMax = 1000;    // 4 MiB: then a write moves the log
constexpr size_t kSomeRows = 256;     // written at once: the pages they took are not needed again
constexpr size_t kManyRows = 10'000;  // of one part: worth reading all as they lie

constexpr char kReadTotals[] =
    "SELECT through, live_count, live_sum, old_count, old_sum, hash FROM totals WHERE id = 1";

int PartOf(absl::string_view kind) { return absl::StartsWith(kind, "old_") ? kOld : kLive; }

absl::Status Damaged(absl::string_view path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RowFile>> RowFile::Open(const std::string& path) {
  std::unique_ptr<RowFile> file(new RowFile);
  file->path_ = path;
  auto database = Database::Open(path, Database::Mode::kReadWriteCreate);
  if (!database.ok()) return database.status();
  file->database_ = *std::move(database);
  if (absl::Status status = file->MakeSchema(); !status.ok()) return status;
  if (absl::Status status = file->Prepare(); !status.ok()) return status;
  return file;
}

absl::Status RowFile::MakeSchema() {
  for (const char* sql : {"PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL",
                          "PRAGMA cache_size=-16384", "PRAGMA journal_size_limit=33554432"}) {
    if (absl::Status status = database_->Execute(sql); !status.ok()) return status;
  }
  const absl::StatusOr<int64_t> tables = database_->QueryInt("SELECT count(*) FROM sqlite_master");
  if (!tables.ok()) return tables.status();
  if (*tables == 0) {
    return database_->Execute(
        "BEGIN IMMEDIATE;"
        "CREATE TABLE rows(kind TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,"
        " sequence INTEGER NOT NULL, hash INTEGER NOT NULL, PRIMARY KEY(kind, key));"
        "CREATE TABLE totals(id INTEGER PRIMARY KEY, through INTEGER, live_count INTEGER,"
        " live_sum INTEGER, old_count INTEGER, old_sum INTEGER, hash INTEGER);"
        "PRAGMA user_version=1;"
        "COMMIT");
  }
  const absl::StatusOr<int64_t> version = database_->QueryInt("PRAGMA user_version");
  if (!version.ok()) return version.status();
  if (*version > kFileFormat) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, " has format ", *version, ", this program knows ", kFileFormat,
                     "; start the version that wrote it, or a newer one"));
  }
  if (*version < 1) return Damaged(path_, "there is no format number");
  return absl::OkStatus();
}

absl::Status RowFile::Prepare() {
  const std::pair<Statement*, const char*> statements[] = {
      {&find_, "SELECT hash FROM rows WHERE kind = ?1 AND key = ?2"},
      {&put_,
       "INSERT OR REPLACE INTO rows(kind, key, value, sequence, hash) VALUES(?1, ?2, ?3, ?4, ?5)"},
      {&erase_, "DELETE FROM rows WHERE kind = ?1 AND key = ?2"},
      {&read_totals_, kReadTotals},
      {&write_totals_,
       "INSERT OR REPLACE INTO totals(id, through, live_count, live_sum, old_count, old_sum, hash)"
       " VALUES(1, ?1, ?2, ?3, ?4, ?5, ?6)"}};
  for (const auto& [statement, sql] : statements) {
    absl::StatusOr<Statement> prepared = database_->Prepare(sql);
    if (!prepared.ok()) return prepared.status();
    *statement = *std::move(prepared);
  }
  MutexLock lock(&read_mutex_);
  auto reader = Database::Open(path_, Database::Mode::kReadOnly);
  if (!reader.ok()) return reader.status();
  reader_ = *std::move(reader);
  auto one =
      reader_->Prepare("SELECT key, value, sequence, hash FROM rows WHERE kind = ?1 AND key = ?2");
  if (!one.ok()) return one.status();
  read_one_ = *std::move(one);
  auto many = reader_->Prepare(
      "SELECT key, value, sequence, hash FROM rows WHERE kind = ?1 AND key > ?2 AND key >= ?3"
      " ORDER BY key LIMIT ?4");
  if (!many.ok()) return many.status();
  read_many_ = *std::move(many);
  return absl::OkStatus();
}

absl::StatusOr<RowFile::Totals> RowFile::ReadTotals(const std::string& path, Statement* read) {
  const absl::StatusOr<bool> row = read->Step();
  if (!row.ok()) return row.status();
  Totals totals;
  if (!*row) return totals;
  uint64_t fields[6];
  for (int i = 0; i < 6; ++i) fields[i] = static_cast<uint64_t>(read->Int(i));
  read->Reset();
  totals = {fields[0], {fields[1], fields[3]}, {fields[2], fields[4]}};
  const std::string text =
      absl::StrCat(fields[0], ",", fields[1], ",", fields[2], ",", fields[3], ",", fields[4]);
  if (Hash64(text, 0) != fields[5]) return Damaged(path, "the totals are damaged");
  return totals;
}

absl::Status RowFile::WriteTotals(const Totals& totals) {
  const uint64_t fields[] = {totals.through, totals.count[kLive], totals.sum[kLive],
                             totals.count[kOld], totals.sum[kOld]};
  for (int i = 0; i < 5; ++i) write_totals_.BindInt(i + 1, static_cast<int64_t>(fields[i]));
  const std::string text =
      absl::StrCat(fields[0], ",", fields[1], ",", fields[2], ",", fields[3], ",", fields[4]);
  write_totals_.BindInt(6, static_cast<int64_t>(Hash64(text, 0)));
  return write_totals_.Run();
}

// Reads all rows of one part and compares them with the totals.
absl::Status RowFile::CheckKinds(const std::string& path, Database* database, int part,
                                 const Totals& totals, std::vector<RowUpdate>* rows) {
  // By the index, or all rows as they lie: that is faster when there are few others among them.
  const bool as_they_lie =
      totals.count[part] > kManyRows && totals.count[1 - part] < totals.count[part];
  const char* const sql =
      part != kLive ? "SELECT kind, key, value, sequence, hash FROM rows WHERE kind >= 'old_' AND"
                      " kind < 'old`' ORDER BY kind, key"
      : as_they_lie ? "SELECT kind, key, value, sequence, hash FROM rows NOT INDEXED"
                      " WHERE kind < 'old_' OR kind >= 'old`'"
                    : "SELECT kind, key, value, sequence, hash FROM rows WHERE kind < 'old_' OR"
                      " kind >= 'old`' ORDER BY kind, key";
  absl::StatusOr<Statement> all = database->Prepare(sql);
  if (!all.ok()) return all.status();
  uint64_t count = 0;
  uint64_t sum = 0;
  if (rows != nullptr) rows->reserve(totals.count[part]);
  while (true) {
    const absl::StatusOr<bool> row = all->Step();
    if (!row.ok()) return row.status();
    if (!*row) break;
    const uint64_t sequence = static_cast<uint64_t>(all->Int(3));
    const uint64_t hash = RowHash(all->Blob(0), all->Blob(1), all->Blob(2), sequence);
    if (hash != static_cast<uint64_t>(all->Int(4))) {
      return Damaged(path, absl::StrCat("a row of kind ", all->Blob(0), " is damaged"));
    }
    ++count;
    sum += hash;
    if (rows == nullptr) continue;
    rows->push_back({std::string(all->Blob(0)), std::string(all->Blob(1)),
                     std::string(all->Blob(2)), sequence});
  }
  if (count == totals.count[part] && sum == totals.sum[part]) return absl::OkStatus();
  return Damaged(path, absl::StrCat("rows are missing or changed: ", count, " found, ",
                                     totals.count[part], " expected"));
}

absl::Status RowFile::CheckOldRows(const std::string& path, const std::atomic<bool>& stop) {
  auto database = Database::Open(path, Database::Mode::kReadOnly);
  if (!database.ok()) return database.status();
  (*database)->StopWhen(&stop);
  // One transaction: totals and rows of one moment.
  if (absl::Status status = (*database)->Execute("BEGIN"); !status.ok()) return status;
  auto read = (*database)->Prepare(kReadTotals);
  if (!read.ok()) return read.status();
  const absl::StatusOr<Totals> totals = ReadTotals(path, &*read);
  if (!totals.ok()) return totals.status();
  return CheckKinds(path, database->get(), kOld, *totals, nullptr);
}

absl::StatusOr<RowFile::Content> RowFile::Read(bool check_old) {
  const absl::StatusOr<Totals> totals = ReadTotals(path_, &read_totals_);
  if (!totals.ok()) return totals.status();
  Content content;
  content.through = totals->through;
  absl::Status status = CheckKinds(path_, database_.get(), kLive, *totals, &content.rows);
  if (status.ok() && check_old) status = CheckKinds(path_, database_.get(), kOld, *totals, nullptr);
  database_->ReleaseMemory();
  if (!status.ok()) return status;
  return content;
}

absl::Status RowFile::WriteRow(const RowUpdate& row, Totals* totals) {
  const int part = PartOf(row.kind);
  find_.BindText(1, row.kind);
  find_.BindBlob(2, row.key);
  const absl::StatusOr<bool> old = find_.Step();
  if (!old.ok()) return old.status();
  if (*old) {
    --totals->count[part];
    totals->sum[part] -= static_cast<uint64_t>(find_.Int(0));
    find_.Reset();
  }
  if (row.value.empty()) {
    if (!*old) return absl::OkStatus();
    erase_.BindText(1, row.kind);
    erase_.BindBlob(2, row.key);
    return erase_.Run();
  }
  const uint64_t hash = RowHash(row.kind, row.key, row.value, row.sequence);
  ++totals->count[part];
  totals->sum[part] += hash;
  put_.BindText(1, row.kind);
  put_.BindBlob(2, row.key);
  put_.BindBlob(3, row.value);
  put_.BindInt(4, static_cast<int64_t>(row.sequence));
  put_.BindInt(5, static_cast<int64_t>(hash));
  return put_.Run();
}

absl::Status RowFile::WriteAll(const std::vector<RowUpdate>& rows, uint64_t through) {
  absl::StatusOr<Totals> totals = ReadTotals(path_, &read_totals_);
  if (!totals.ok()) return totals.status();
  for (const RowUpdate& row : rows) {
    if (absl::Status status = WriteRow(row, &*totals); !status.ok()) return status;
  }
  totals->through = std::max(totals->through, through);
  if (absl::Status status = WriteTotals(*totals); !status.ok()) return status;
  TRAINYARD_FAULT_POINT("journal.before_rows_commit");
  const absl::Status status = database_->Execute("COMMIT");
  TRAINYARD_FAULT_POINT("journal.after_rows_commit");
  return status;
}

absl::Status RowFile::Write(const std::vector<RowUpdate>& rows, uint64_t through) {
  if (absl::Status status = database_->Execute("BEGIN IMMEDIATE"); !status.ok()) return status;
  absl::Status status = WriteAll(rows, through);
  if (!status.ok()) database_->Execute("ROLLBACK").IgnoreError();
  if (status.ok() && database_->log_pages() > kLogPagesMax) status = database_->Checkpoint();
  if (rows.size() > kSomeRows) database_->ReleaseMemory();
  return status;
}

absl::StatusOr<std::string> RowFile::ReadRow(absl::string_view kind, absl::string_view key) {
  MutexLock lock(&read_mutex_);
  read_one_.BindText(1, kind);
  read_one_.BindBlob(2, key);
  const absl::StatusOr<bool> row = read_one_.Step();
  if (!row.ok()) return row.status();
  if (!*row) return absl::NotFoundError("no such row");
  std::string value(read_one_.Blob(1));
  const bool whole = RowHash(kind, key, value, static_cast<uint64_t>(read_one_.Int(2))) ==
                     static_cast<uint64_t>(read_one_.Int(3));
  read_one_.Reset();
  if (!whole) return Damaged(path_, absl::StrCat("a row of kind ", kind, " is damaged"));
  return value;
}

absl::StatusOr<std::vector<RowUpdate>> RowFile::ReadRows(absl::string_view kind,
                                                         absl::string_view prefix,
                                                         absl::string_view after_key, int limit) {
  MutexLock lock(&read_mutex_);
  std::vector<RowUpdate> rows;
  read_many_.BindText(1, kind);
  read_many_.BindBlob(2, after_key);
  read_many_.BindBlob(3, prefix);
  read_many_.BindInt(4, limit);
  while (true) {
    const absl::StatusOr<bool> row = read_many_.Step();
    if (!row.ok()) return row.status();
    if (!*row) return rows;
    RowUpdate update{std::string(kind), std::string(read_many_.Blob(0)),
                     std::string(read_many_.Blob(1)), static_cast<uint64_t>(read_many_.Int(2))};
    const bool whole = RowHash(kind, update.key, update.value, update.sequence) ==
                       static_cast<uint64_t>(read_many_.Int(3));
    if (!whole) {
      read_many_.Reset();
      return Damaged(path_, absl::StrCat("a row of kind ", kind, " is damaged"));
    }
    if (!absl::StartsWith(update.key, prefix)) {
      read_many_.Reset();
      return rows;
    }
    rows.push_back(std::move(update));
  }
}

}  // namespace trainyard::journal
