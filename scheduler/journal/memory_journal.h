// The journal in memory, for tests and the simulator: it outlives restarts of the state, and can be
// told to fail. Thread-safe.
#ifndef TRAINYARD_SCHEDULER_JOURNAL_MEMORY_JOURNAL_H_
#define TRAINYARD_SCHEDULER_JOURNAL_MEMORY_JOURNAL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/mutex.h"
#include "scheduler/journal/journal.h"

namespace trainyard::journal {

class MemoryJournal : public Journal {
 public:
  absl::StatusOr<Recovered> Recover() override;
  absl::Status Append(uint64_t incarnation, uint64_t expected_sequence,
                      const std::vector<std::string>& batch) override;
  absl::Status WriteRows(uint64_t incarnation, const std::vector<RowUpdate>& rows,
                         uint64_t through) override;
  absl::StatusOr<std::string> ReadRow(absl::string_view kind, absl::string_view key) override;
  absl::StatusOr<std::vector<RowUpdate>> ReadRows(absl::string_view kind, absl::string_view prefix,
                                                  absl::string_view after_key, int limit) override;

  // Faults.
  enum class Fault {
    kNone,
    kFull,       // RESOURCE_EXHAUSTED, nothing written; until set back
    kSyncFails,  // INTERNAL, nothing written; the process must end
    kReplyLost,  // INTERNAL although the batch is durable, as when power fails right after the sync
  };
  void SetFault(Fault fault);
  // Appends until the fault strikes: 0 the next one. kFull stays, the others strike once.
  void SetFaultAfter(int appends, Fault fault);
  // Flips one bit of the stored record of that sequence.
  void FlipBit(uint64_t sequence, size_t bit);
  // Power cut: the last `events` records were never synced (only for those not yet acknowledged in
  // the caller's world).
  void DropLast(size_t events);

  // A copy of all that is stored, as a backup is.
  std::unique_ptr<MemoryJournal> Clone() const;

  uint64_t sequence() const;
  // Stored records from base + 1 on.
  std::vector<std::string> Records() const;

 private:
  mutable Mutex mutex_;
  uint64_t incarnation_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t base_ ABSL_GUARDED_BY(mutex_) = 0;     // records up to here were trimmed
  uint64_t through_ ABSL_GUARDED_BY(mutex_) = 0;  // rows reflect events up to here
  std::vector<std::string> records_ ABSL_GUARDED_BY(mutex_);
  struct Row {
    std::string value;
    uint64_t sequence = 0;
  };
  std::map<std::pair<std::string, std::string>, Row> rows_ ABSL_GUARDED_BY(mutex_);
  Fault fault_ ABSL_GUARDED_BY(mutex_) = Fault::kNone;
  int fault_after_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace trainyard::journal

#endif  // TRAINYARD_SCHEDULER_JOURNAL_MEMORY_JOURNAL_H_
