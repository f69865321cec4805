// The file of events: SQLite, WAL, synchronous=FULL, one transaction and one sync per append.
//  - Records lie under rising sequences without a gap, each with a checksum; a chained hash over
//  all of them, kept with every append, finds missing, swapped and truncated ones.
//  - Events at or below a trimmed sequence go away bit by bit, in the transactions of later
//  appends.
// Thread-compatible but for Checkpoint(), which one other thread may call.
#ifndef TRAINYARD_SCHEDULER_JOURNAL_EVENT_FILE_H_
#define TRAINYARD_SCHEDULER_JOURNAL_EVENT_FILE_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "scheduler/journal/sqlite.h"
#include "trainyard/journal/v1/journal.pb.h"

namespace trainyard::journal {

class EventFile {
 public:
  static absl::StatusOr<std::unique_ptr<EventFile>> Open(const std::string& path);

  struct Content {
    uint64_t incarnation = 0;
    uint64_t sequence = 0;          // of the last event
    uint64_t first_sequence = 0;    // of the first event kept; sequence + 1 when none
    std::vector<v1::Event> events;  // those after `after`
  };
  // Reads and checks every record; gives events after `after`.
  absl::StatusOr<Content> Read(uint64_t after);

  absl::Status SetIncarnation(uint64_t incarnation);
  // ABORTED when `incarnation` or `expected_sequence` is not the file's. After any error but
  // RESOURCE_EXHAUSTED and ABORTED the file takes no further append.
  absl::Status Append(uint64_t incarnation, uint64_t expected_sequence,
                      const std::vector<std::string>& batch);

  // Events up to `through` are not needed any more. Thread-safe.
  void Trim(uint64_t through) { trim_to_ = through; }
  // Moves the log into the file; any one thread, beside appends.
  absl::Status Checkpoint() { return checkpointer_->Checkpoint(); }

 private:
  struct Head {
    uint64_t format = 1;
    uint64_t incarnation = 0;
    uint64_t sequence = 0;
    uint64_t chain = 0;          // over all events up to `sequence`
    uint64_t base_sequence = 0;  // events up to here are gone
    uint64_t base_chain = 0;
  };
  EventFile() = default;
  absl::Status Prepare();
  absl::Status MakeSchema();
  absl::StatusOr<Head> ReadHead();
  absl::Status WriteHead(const Head& head);
  absl::Status WriteBatch(Head* head, const std::vector<std::string>& batch);
  absl::Status RaiseFormat();
  absl::Status DropSome(Head* head, size_t appended);

  std::string path_;
  uint32_t format_ = 1;  // of the file
  std::unique_ptr<Database> database_;
  std::unique_ptr<Database> checkpointer_;
  Statement begin_, commit_, rollback_, insert_, drop_, read_head_, write_head_;
  std::deque<uint64_t> chains_;  // after each kept event, from base_sequence + 1
  std::atomic<uint64_t> trim_to_{0};
  absl::Status broken_;
};

}  // namespace trainyard::journal

#endif  // TRAINYARD_SCHEDULER_JOURNAL_EVENT_FILE_H_
