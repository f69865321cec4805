// See sqlite_journal.h.
#include "scheduler/journal/sqlite_journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/fault_point.h"

namespace trainyard::journal {
namespace {

// A journal without its mark, or with a copied one, came from elsewhere (a backup put back in its
// place), where incarnations may have risen since.
constexpr uint64_t kCopiedJump = 1000;

int64_t SizeOf(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? info.st_size : 0;
}

// SQLite's own check of pages, tree and free list.
absl::Status CheckPages(const std::string& path, const std::atomic<bool>* stop) {
  auto database = Database::Open(path, Database::Mode::kReadWriteCreate);
  if (!database.ok()) return database.status();
  if (stop != nullptr) (*database)->StopWhen(stop);
  auto check = (*database)->Prepare("PRAGMA integrity_check(1)");
  if (!check.ok()) return check.status();
  const absl::StatusOr<bool> row = check->Step();
  if (!row.ok()) return row.status();
  if (*row && check->Blob(0) == "ok") return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(path, " is damaged: ", check->Blob(0)));
}

absl::Status CheckFiles(const std::vector<std::string>& paths, const std::atomic<bool>* stop) {
  for (const std::string& path : paths) {
    if (absl::Status status = CheckPages(path, stop); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CheckRowsFit(const EventFile::Content& events, uint64_t rows_through,
                          const std::string& path) {
  if (rows_through > events.sequence) {
    return absl::DataLossError(absl::StrCat(path, " ends at event ", events.sequence, ", but ",
                                            path, ".rows reflects event ", rows_through,
                                            "; both files must come from the same moment"));
  }
  if (events.first_sequence > rows_through + 1) {
    return absl::DataLossError(absl::StrCat(
        path, " begins at event ", events.first_sequence, ", but ", path,
        ".rows reflects only event ", rows_through, "; both files must come from the same moment"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SqliteJournal::Lock() {
  const std::string path = path_ + ".lock";
  lock_ = FileDescriptor(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_.valid()) return ErrnoError(errno, "open", path);
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::UnavailableError(
        absl::StrCat(path_, " is in use by another scheduler; stop that one first"));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> SqliteJournal::NextIncarnation(const EventFile::Content& events) {
  const Mark mark = ReadMark(path_ + ".mark");
  const std::string accepted_path = path_ + ".mark.accepted";
  const Mark accepted = ReadMark(accepted_path);
  uint64_t incarnation = events.incarnation;
  if (accepted.exists) {
    incarnation = std::max(incarnation, accepted.incarnation);
  } else if (mark.exists && mark.sequence > events.sequence) {
    return absl::DataLossError(absl::StrCat(
        path_, " ends at event ", events.sequence, ", but had reached event ", mark.sequence,
        ": acknowledged events are lost. If you put a backup in its place on purpose, rename ",
        path_, ".mark to ", accepted_path, " and start again"));
  } else if (mark.exists) {
    incarnation = std::max(incarnation, mark.incarnation) + (mark.is_copy ? kCopiedJump : 0);
  } else if (events.incarnation > 0) {
    incarnation += kCopiedJump;
  }
  return incarnation + 1;
}

absl::StatusOr<Recovered> SqliteJournal::Recover() {
  events_.reset();
  rows_.reset();
  const std::string rows_path = path_ + ".rows";
  const bool check_all = SizeOf(path_) + SizeOf(rows_path) <= checked_at_once_bytes_;
  auto opened_events = EventFile::Open(path_);
  if (!opened_events.ok()) return opened_events.status();
  auto opened_rows = RowFile::Open(rows_path);
  if (!opened_rows.ok()) return opened_rows.status();
  // Beside the reading, which checks what it reads by itself.
  std::future<absl::Status> pages =
      std::async(check_all ? std::launch::async : std::launch::deferred, [&] {
        return check_all ? CheckFiles({path_, rows_path}, nullptr) : absl::OkStatus();
      });
  auto rows = (*opened_rows)->Read(check_all);
  if (!rows.ok()) return rows.status();
  auto events = (*opened_events)->Read(rows->through);
  if (!events.ok()) return events.status();
  if (absl::Status status = CheckRowsFit(*events, rows->through, path_); !status.ok()) {
    return status;
  }
  if (absl::Status status = pages.get(); !status.ok()) return status;
  const absl::StatusOr<uint64_t> incarnation = NextIncarnation(*events);
  if (!incarnation.ok()) return incarnation.status();
  if (absl::Status status = (*opened_events)->SetIncarnation(*incarnation); !status.ok()) {
    return status;
  }
  unlink((path_ + ".mark.accepted").c_str());
  auto mark = MarkFile::Open(path_ + ".mark");
  if (!mark.ok()) return mark.status();
  mark_ = *std::move(mark);
  mark_->Write(*incarnation, events->sequence);
  events_ = *std::move(opened_events);
  rows_ = *std::move(opened_rows);
  events_->Trim(rows->through);
  rest_is_left_ = !check_all;
  incarnation_ = *incarnation;
  Recovered recovered;
  recovered.incarnation = *incarnation;
  recovered.rows_sequence = rows->through;
  recovered.rows = std::move(rows->rows);
  recovered.tail = std::move(events->events);
  return recovered;
}

absl::Status SqliteJournal::Append(uint64_t incarnation, uint64_t expected_sequence,
                                   const std::vector<std::string>& batch) {
  if (events_ == nullptr) return absl::FailedPreconditionError("the journal was not recovered");
  TRAINYARD_FAULT_POINT("journal.before_append");
  absl::Status status = events_->Append(incarnation, expected_sequence, batch);
  if (status.ok()) mark_->Write(incarnation, expected_sequence + batch.size());
  TRAINYARD_FAULT_POINT("journal.after_append");
  return status;
}

absl::Status SqliteJournal::WriteRows(uint64_t incarnation, const std::vector<RowUpdate>& rows,
                                      uint64_t through) {
  if (rows_ == nullptr) return absl::FailedPreconditionError("the journal was not recovered");
  if (incarnation != incarnation_) {
    return absl::AbortedError(absl::StrCat("rows of incarnation ", incarnation,
                                           ", the journal is at ", incarnation_.load()));
  }
  if (absl::Status status = rows_->Write(rows, through); !status.ok()) return status;
  events_->Trim(through);
  return events_->Checkpoint();
}

absl::StatusOr<std::string> SqliteJournal::ReadRow(absl::string_view kind, absl::string_view key) {
  if (rows_ == nullptr) return absl::FailedPreconditionError("the journal was not recovered");
  return rows_->ReadRow(kind, key);
}

absl::StatusOr<std::vector<RowUpdate>> SqliteJournal::ReadRows(absl::string_view kind,
                                                               absl::string_view prefix,
                                                               absl::string_view after_key,
                                                               int limit) {
  if (rows_ == nullptr) return absl::FailedPreconditionError("the journal was not recovered");
  return rows_->ReadRows(kind, prefix, after_key, limit);
}

absl::Status SqliteJournal::CheckRest(const std::atomic<bool>& stop) {
  if (!rest_is_left_) return absl::OkStatus();
  const std::string rows_path = path_ + ".rows";
  absl::Status status = CheckFiles({path_, rows_path}, &stop);
  if (status.ok()) status = RowFile::CheckOldRows(rows_path, stop);
  return status;
}

absl::StatusOr<std::unique_ptr<Journal>> OpenSqliteJournal(const std::string& path,
                                                           int64_t checked_at_once_bytes) {
  auto journal = std::make_unique<SqliteJournal>(path, checked_at_once_bytes);
  if (absl::Status status = journal->Lock(); !status.ok()) return status;
  return journal;
}

}  // namespace trainyard::journal
