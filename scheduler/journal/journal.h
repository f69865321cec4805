// The journal: durable, ordered events, and rows (the checkpoint of the state). One writer at a
// time, proved by the incarnation. Implementations: SQLite with group commit, memory. One
// conformance suite runs on all.
#ifndef TRAINYARD_SCHEDULER_JOURNAL_JOURNAL_H_
#define TRAINYARD_SCHEDULER_JOURNAL_JOURNAL_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "trainyard/journal/v1/journal.pb.h"

namespace trainyard::journal {

// Highest level of a record that this program reads. A record is written with the lowest level that
// reads it truly, so that a program of before is stopped only by what it would misread.
inline constexpr uint32_t kFormatLevel = 3;
// Highest format of the files around the records that this program reads. A file begins with 1. The
// first record of a level above kFirstFormatLevelMax makes it 2, for good: what the record said is
// in rows when it is gone, and rows have no level.
inline constexpr uint32_t kFileFormat = 2;
inline constexpr uint32_t kFirstFormatLevelMax = 2;

// A row of any entity: kind ("job", "run", "trial", ...), key (ordered bytes), value (serialized
// row proto), and the sequence of the last event it reflects. An empty value deletes.
struct RowUpdate {
  std::string kind;
  std::string key;
  std::string value;
  uint64_t sequence = 0;
};

struct Recovered {
  uint64_t incarnation = 0;     // of this opening; higher than any before
  uint64_t rows_sequence = 0;   // rows reflect events up to here at least
  std::vector<RowUpdate> rows;  // live entities only, in any order
  std::vector<v1::Event>
      tail;  // events after rows_sequence, in order; Apply skips what a row already reflects
};

class Journal {
 public:
  virtual ~Journal() = default;

  // Reads rows and tail, checks every record's checksum, raises the incarnation durably. DATA_LOSS
  // names file and place of a damaged record; FAILED_PRECONDITION when a record's level is higher
  // than ours.
  virtual absl::StatusOr<Recovered> Recover() = 0;

  // Appends `batch` as sequences expected_sequence + 1 ...; durable when OK. ABORTED when the
  // incarnation is not the newest or the sequence does not fit; any other error means the process
  // must end (a failed sync cannot be retried), except RESOURCE_EXHAUSTED (disk full): nothing was
  // written.
  virtual absl::Status Append(uint64_t incarnation, uint64_t expected_sequence,
                              const std::vector<std::string>& batch) = 0;

  // Writes rows in the background of appends; not needed for durability. After it, events up to
  // `through` may be dropped.
  virtual absl::Status WriteRows(uint64_t incarnation, const std::vector<RowUpdate>& rows,
                                 uint64_t through) = 0;

  // Reads one row, or rows of a kind after `after_key`, newest last; for terminal entities.
  // Thread-safe.
  virtual absl::StatusOr<std::string> ReadRow(absl::string_view kind, absl::string_view key) = 0;
  virtual absl::StatusOr<std::vector<RowUpdate>> ReadRows(absl::string_view kind,
                                                          absl::string_view prefix,
                                                          absl::string_view after_key,
                                                          int limit) = 0;

  // After Recover, beside everything else, by one thread: checks what Recover left because reading
  // it would have held up the start (pages and terminal entities of a large journal). DATA_LOSS
  // names the file; CANCELLED soon after `stop` is true. OK at once when nothing was left.
  virtual absl::Status CheckRest(const std::atomic<bool>& stop) {
    (void)stop;  // of a journal whose Recover checks everything
    return absl::OkStatus();
  }
};

// Files of at most so many bytes together are checked whole by Recover.
inline constexpr int64_t kCheckedAtOnceBytes = 64 << 20;
// `path`: the SQLite file; WAL, synchronous=FULL. Terminal entities are stored under kinds
// "old_job", "old_run", ...
absl::StatusOr<std::unique_ptr<Journal>> OpenSqliteJournal(
    const std::string& path, int64_t checked_at_once_bytes = kCheckedAtOnceBytes);
// In memory; `journal` outlives restarts of the state in tests. Can be told to fail (see
// memory_journal.h).
std::unique_ptr<Journal> MakeMemoryJournal();

// Event to stored bytes (level, payload, checksum) and back. DATA_LOSS for damage.
std::string EncodeEvent(const v1::Event& event);
// Of the stored bytes of an event; 0: they hold none.
uint32_t LevelOfRecord(absl::string_view bytes);
absl::StatusOr<v1::Event> DecodeEvent(absl::string_view bytes);

}  // namespace trainyard::journal

#endif  // TRAINYARD_SCHEDULER_JOURNAL_JOURNAL_H_
