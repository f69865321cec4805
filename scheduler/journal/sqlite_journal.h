// The journal on one machine's disk: PATH (events), PATH.rows (rows), PATH.mark (how far it
// reached), PATH.lock (held while open, so that one process writes). Appends by one thread,
// WriteRows by one other, reads by any.
#ifndef TRAINYARD_SCHEDULER_JOURNAL_SQLITE_JOURNAL_H_
#define TRAINYARD_SCHEDULER_JOURNAL_SQLITE_JOURNAL_H_

#include <memory>
#include <string>
#include <vector>

#include "common/file.h"
#include "scheduler/journal/event_file.h"
#include "scheduler/journal/journal.h"
#include "scheduler/journal/mark_file.h"
#include "scheduler/journal/row_file.h"

namespace trainyard::journal {

class SqliteJournal : public Journal {
 public:
  SqliteJournal(const std::string& path, int64_t checked_at_once_bytes)
      : path_(path), checked_at_once_bytes_(checked_at_once_bytes) {}

  // UNAVAILABLE while another process has the journal open.
  absl::Status Lock();

  absl::StatusOr<Recovered> Recover() override;
  absl::Status Append(uint64_t incarnation, uint64_t expected_sequence,
                      const std::vector<std::string>& batch) override;
  absl::Status WriteRows(uint64_t incarnation, const std::vector<RowUpdate>& rows,
                         uint64_t through) override;
  absl::StatusOr<std::string> ReadRow(absl::string_view kind, absl::string_view key) override;
  absl::StatusOr<std::vector<RowUpdate>> ReadRows(absl::string_view kind, absl::string_view prefix,
                                                  absl::string_view after_key, int limit) override;
  absl::Status CheckRest(const std::atomic<bool>& stop) override;

 private:
  absl::StatusOr<uint64_t> NextIncarnation(const EventFile::Content& events);

  const std::string path_;
  const int64_t checked_at_once_bytes_;
  bool rest_is_left_ = false;
  FileDescriptor lock_;
  std::atomic<uint64_t> incarnation_{0};
  std::unique_ptr<EventFile> events_;
  std::unique_ptr<RowFile> rows_;
  std::unique_ptr<MarkFile> mark_;
};

}  // namespace trainyard::journal

#endif  // TRAINYARD_SCHEDULER_JOURNAL_SQLITE_JOURNAL_H_
