// See event_file.h.
#include "scheduler/journal/event_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/fault_point.h"
#include "scheduler/journal/hash64.h"
#include "scheduler/journal/journal.h"

namespace trainyard::journal {
namespace {

constexpr int kLogPagesMax = 8192;  // 32 MiB: then an append moves the log itself
constexpr char kLogBytesMax[] = "PRAGMA journal_size_limit=33554432";  // of a log that begins anew
constexpr size_t kDropAtLeast = 256;

std::string HeadText(const char* separator, std::initializer_list<uint64_t> values) {
  std::string out;
  for (const uint64_t value : values) absl::StrAppend(&out, value, separator);
  return out;
}

bool NeedsNewFormat(const std::vector<std::string>& batch) {
  return std::any_of(batch.begin(), batch.end(), [](const std::string& record) {
    return LevelOfRecord(record) > kFirstFormatLevelMax;
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventFile>> EventFile::Open(const std::string& path) {
  std::unique_ptr<EventFile> file(new EventFile);
  file->path_ = path;
  auto database = Database::Open(path, Database::Mode::kReadWriteCreate);
  if (!database.ok()) return database.status();
  file->database_ = *std::move(database);
  if (absl::Status status = file->MakeSchema(); !status.ok()) return status;
  auto checkpointer = Database::Open(path, Database::Mode::kReadWriteCreate);
  if (!checkpointer.ok()) return checkpointer.status();
  file->checkpointer_ = *std::move(checkpointer);
  // A connection that has read nothing does not know of the log yet, and would move nothing.
  const absl::StatusOr<int64_t> looked = file->checkpointer_->QueryInt("PRAGMA user_version");
  if (!looked.ok()) return looked.status();
  if (absl::Status status = file->Prepare(); !status.ok()) return status;
  return file;
}

// Makes the tables of a new file; an old one must have exactly them.
absl::Status EventFile::MakeSchema() {
  for (const char* sql : {"PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", kLogBytesMax}) {
    if (absl::Status status = database_->Execute(sql); !status.ok()) return status;
  }
  const absl::StatusOr<int64_t> tables = database_->QueryInt("SELECT count(*) FROM sqlite_master");
  if (!tables.ok()) return tables.status();
  if (*tables == 0) {
    return database_->Execute(
        "BEGIN IMMEDIATE;"
        "CREATE TABLE events(sequence INTEGER PRIMARY KEY, record BLOB NOT NULL);"
        "CREATE TABLE head(id INTEGER PRIMARY KEY, format INTEGER, incarnation INTEGER,"
        " sequence INTEGER, chain INTEGER, base_sequence INTEGER, base_chain INTEGER,"
        " hash INTEGER);"
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
  if (*version < 1) {
    return absl::DataLossError(absl::StrCat(path_, " has no format number; it is damaged"));
  }
  format_ = static_cast<uint32_t>(*version);
  return absl::OkStatus();
}

absl::Status EventFile::Prepare() {
  const std::pair<Statement*, const char*> statements[] = {
      {&begin_, "BEGIN IMMEDIATE"},
      {&commit_, "COMMIT"},
      {&rollback_, "ROLLBACK"},
      {&insert_, "INSERT INTO events(sequence, record) VALUES(?1, ?2)"},
      {&drop_, "DELETE FROM events WHERE sequence <= ?1"},
      {&read_head_,
       "SELECT format, incarnation, sequence, chain, base_sequence, base_chain, hash FROM head"
       " WHERE id = 1"},
      {&write_head_,
       "INSERT OR REPLACE INTO head(id, format, incarnation, sequence, chain, base_sequence,"
       " base_chain, hash) VALUES(1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)"}};
  for (const auto& [statement, sql] : statements) {
    absl::StatusOr<Statement> prepared = database_->Prepare(sql);
    if (!prepared.ok()) return prepared.status();
    *statement = *std::move(prepared);
  }
  return absl::OkStatus();
}

absl::StatusOr<EventFile::Head> EventFile::ReadHead() {
  const absl::StatusOr<bool> row = read_head_.Step();
  if (!row.ok()) return row.status();
  Head head;
  if (!*row) return head;
  uint64_t* const fields[] = {&head.format, &head.incarnation,   &head.sequence,
                              &head.chain,  &head.base_sequence, &head.base_chain};
  bool numbers = true;
  for (int i = 0; i < 6; ++i) {
    *fields[i] = static_cast<uint64_t>(read_head_.Int(i));
    numbers &= read_head_.IsInt(i);
  }
  const uint64_t hash = static_cast<uint64_t>(read_head_.Int(6));
  read_head_.Reset();
  const uint64_t expected = Hash64(HeadText(",", {head.format, head.incarnation, head.sequence,
                                                  head.chain, head.base_sequence, head.base_chain}),
                                   0);
  if (!numbers || hash != expected) {
    return absl::DataLossError(absl::StrCat(path_, ": the head record is damaged"));
  }
  return head;
}

absl::Status EventFile::WriteHead(const Head& head) {
  const uint64_t fields[] = {head.format, head.incarnation,   head.sequence,
                             head.chain,  head.base_sequence, head.base_chain};
  for (int i = 0; i < 6; ++i) write_head_.BindInt(i + 1, static_cast<int64_t>(fields[i]));
  const uint64_t hash =
      Hash64(HeadText(",", {fields[0], fields[1], fields[2], fields[3], fields[4], fields[5]}), 0);
  write_head_.BindInt(7, static_cast<int64_t>(hash));
  return write_head_.Run();
}

absl::StatusOr<EventFile::Content> EventFile::Read(uint64_t after) {
  const absl::StatusOr<Head> head = ReadHead();
  if (!head.ok()) return head.status();
  absl::StatusOr<Statement> all =
      database_->Prepare("SELECT sequence, record FROM events ORDER BY sequence");
  if (!all.ok()) return all.status();
  Content content;
  content.incarnation = head->incarnation;
  content.sequence = head->sequence;
  content.first_sequence = head->base_sequence + 1;
  chains_.clear();
  uint64_t chain = head->base_chain;
  uint64_t sequence = head->base_sequence;
  while (true) {
    const absl::StatusOr<bool> row = all->Step();
    if (!row.ok()) return row.status();
    if (!*row) break;
    ++sequence;
    if (static_cast<uint64_t>(all->Int(0)) != sequence || !all->IsBlob(1)) {
      return absl::DataLossError(absl::StrCat(path_, ": event ", sequence, " is missing"));
    }
    absl::StatusOr<v1::Event> event = DecodeEvent(all->Blob(1));
    if (!event.ok()) {
      return absl::Status(event.status().code(), absl::StrCat(path_, ": event ", sequence, ": ",
                                                              event.status().message()));
    }
    chain = Hash64(all->Blob(1), chain);
    chains_.push_back(chain);
    if (event->sequence() != sequence) {
      return absl::DataLossError(
          absl::StrCat(path_, ": event ", event->sequence(), " lies in the place of ", sequence));
    }
    if (sequence > after) content.events.push_back(*std::move(event));
  }
  database_->ReleaseMemory();
  if (sequence != head->sequence || chain != head->chain) {
    return absl::DataLossError(absl::StrCat(path_, ": the chain of events is broken: it ends at ",
                                            sequence, ", the head says ", head->sequence));
  }
  return content;
}

absl::Status EventFile::SetIncarnation(uint64_t incarnation) {
  absl::StatusOr<Head> head = ReadHead();
  if (!head.ok()) return head.status();
  head->incarnation = incarnation;
  return WriteHead(*head);
}

absl::Status EventFile::Append(uint64_t incarnation, uint64_t expected_sequence,
                               const std::vector<std::string>& batch) {
  if (!broken_.ok()) return broken_;
  if (absl::Status status = begin_.Run(); !status.ok()) return status;
  absl::StatusOr<Head> head = ReadHead();
  absl::Status status = head.status();
  if (status.ok() && (head->incarnation != incarnation || head->sequence != expected_sequence)) {
    status = absl::AbortedError(absl::StrCat(
        path_, ": the journal is at incarnation ", head->incarnation, ", sequence ", head->sequence,
        "; the writer believed ", incarnation, ", ", expected_sequence));
  }
  const size_t kept = chains_.size();
  if (status.ok()) status = WriteBatch(&*head, batch);
  const bool rises = format_ < kFileFormat && NeedsNewFormat(batch);
  if (status.ok() && rises) status = RaiseFormat();
  if (status.ok()) {
    TRAINYARD_FAULT_POINT("journal.before_commit");
    status = commit_.Run();
    TRAINYARD_FAULT_POINT("journal.after_commit");
  }
  if (status.ok()) {
    if (rises) format_ = kFileFormat;
    while (chains_.size() > head->sequence - head->base_sequence) chains_.pop_front();
    if (database_->log_pages() <= kLogPagesMax) return status;
    // The records are durable. A disk without room is met again by a later append; one that fails
    // to sync is not to be trusted any more.
    const absl::Status moved = database_->Checkpoint();
    if (moved.ok() || absl::IsResourceExhausted(moved)) return status;
    broken_ = moved;
    return moved;
  }
  chains_.resize(kept);
  rollback_.Run().IgnoreError();  // it may have rolled back by itself
  const bool clean = absl::IsResourceExhausted(status) || absl::IsAborted(status);
  if (!clean) broken_ = status;
  return status;
}

absl::Status EventFile::WriteBatch(Head* head, const std::vector<std::string>& batch) {
  for (const std::string& record : batch) {
    ++head->sequence;
    head->chain = Hash64(record, head->chain);
    chains_.push_back(head->chain);
    insert_.BindInt(1, static_cast<int64_t>(head->sequence));
    insert_.BindBlob(2, record);
    if (absl::Status status = insert_.Run(); !status.ok()) return status;
  }
  if (absl::Status status = DropSome(head, batch.size()); !status.ok()) return status;
  return WriteHead(*head);
}

// In the transaction of the records that ask for it. A program that does not know the number
// refuses the file, whatever is left of the records.
absl::Status EventFile::RaiseFormat() {
  return database_->Execute(absl::StrCat("PRAGMA user_version=", kFileFormat).c_str());
}

// Drops a few more events than come in, so that trimming keeps up and no append waits for long.
absl::Status EventFile::DropSome(Head* head, size_t appended) {
  const uint64_t through = std::min<uint64_t>(trim_to_, head->sequence);
  if (through <= head->base_sequence) return absl::OkStatus();
  const uint64_t most = std::max(kDropAtLeast, 2 * appended);
  const uint64_t last = std::min<uint64_t>(through, head->base_sequence + most);
  drop_.BindInt(1, static_cast<int64_t>(last));
  if (absl::Status status = drop_.Run(); !status.ok()) return status;
  const size_t first_kept = chains_.size() - (head->sequence - last);
  head->base_chain = chains_[first_kept - 1];
  head->base_sequence = last;
  return absl::OkStatus();
}

}  // namespace trainyard::journal
