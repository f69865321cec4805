// The file of rows, beside the file of events so that writing many rows never holds up an append.
//  - One write is one transaction: rows are always one consistent picture as of a sequence.
//  - Every row has a hash, and sums over all hashes (live and old kinds apart) find missing rows.
// One thread writes; any thread may read.
#ifndef TRAINYARD_SCHEDULER_JOURNAL_ROW_FILE_H_
#define TRAINYARD_SCHEDULER_JOURNAL_ROW_FILE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/mutex.h"
#include "scheduler/journal/journal.h"
#include "scheduler/journal/sqlite.h"

namespace trainyard::journal {

class RowFile {
 public:
  static absl::StatusOr<std::unique_ptr<RowFile>> Open(const std::string& path);

  struct Content {
    uint64_t through = 0;
    std::vector<RowUpdate> rows;  // live kinds
  };
  // Reads and checks every live row; with `check_old` also the others.
  absl::StatusOr<Content> Read(bool check_old);
  // Checks the rows of old kinds as they are at one moment, beside a writer. DATA_LOSS; CANCELLED
  // soon after `stop` is true. Any thread.
  static absl::Status CheckOldRows(const std::string& path, const std::atomic<bool>& stop);

  absl::Status Write(const std::vector<RowUpdate>& rows, uint64_t through);

  absl::StatusOr<std::string> ReadRow(absl::string_view kind, absl::string_view key)
      ABSL_LOCKS_EXCLUDED(read_mutex_);
  absl::StatusOr<std::vector<RowUpdate>> ReadRows(absl::string_view kind, absl::string_view prefix,
                                                  absl::string_view after_key, int limit)
      ABSL_LOCKS_EXCLUDED(read_mutex_);

 private:
  // Of live kinds and of old ones.
  struct Totals {
    uint64_t through = 0;
    uint64_t count[2] = {0, 0};
    uint64_t sum[2] = {0, 0};
  };
  RowFile() = default;
  absl::Status MakeSchema();
  absl::Status Prepare();
  static absl::StatusOr<Totals> ReadTotals(const std::string& path, Statement* read);
  absl::Status WriteTotals(const Totals& totals);
  absl::Status WriteRow(const RowUpdate& row, Totals* totals);
  absl::Status WriteAll(const std::vector<RowUpdate>& rows, uint64_t through);
  static absl::Status CheckKinds(const std::string& path, Database* database, int part,
                                 const Totals& totals, std::vector<RowUpdate>* rows);

  std::string path_;
  std::unique_ptr<Database> database_;
  Statement find_, put_, erase_, read_totals_, write_totals_;

  Mutex read_mutex_;
  std::unique_ptr<Database> reader_ ABSL_GUARDED_BY(read_mutex_);
  Statement read_one_ ABSL_GUARDED_BY(read_mutex_);
  Statement read_many_ ABSL_GUARDED_BY(read_mutex_);
};

}  // namespace trainyard::journal

#endif  // TRAINYARD_SCHEDULER_JOURNAL_ROW_FILE_H_
