// The journal of a simulated scheduler: in memory, with a mark beside it that outlives a restore,
// as the real one has. An old copy can be put in its place. Thread-compatible.
#ifndef TRAINYARD_SIM_RUN_SIM_JOURNAL_H_
#define TRAINYARD_SIM_RUN_SIM_JOURNAL_H_

#include <memory>
#include <string>
#include <vector>

#include "scheduler/journal/memory_journal.h"

namespace trainyard::sim {

class SimJournal : public journal::Journal {
 public:
  // `has_mark` false: after a restore the incarnation is that of the backup and one more.
  explicit SimJournal(bool has_mark) : has_mark_(has_mark) {}

  absl::StatusOr<journal::Recovered> Recover() override;
  absl::Status Append(uint64_t incarnation, uint64_t expected_sequence,
                      const std::vector<std::string>& batch) override {
    return memory_->Append(incarnation - jump_, expected_sequence, batch);
  }
  absl::Status WriteRows(uint64_t incarnation, const std::vector<journal::RowUpdate>& rows,
                         uint64_t through) override {
    return memory_->WriteRows(incarnation - jump_, rows, through);
  }
  absl::StatusOr<std::string> ReadRow(absl::string_view kind, absl::string_view key) override {
    return memory_->ReadRow(kind, key);
  }
  absl::StatusOr<std::vector<journal::RowUpdate>> ReadRows(absl::string_view kind,
                                                           absl::string_view prefix,
                                                           absl::string_view after_key,
                                                           int limit) override {
    return memory_->ReadRows(kind, prefix, after_key, limit);
  }

  void Back() { backup_ = memory_->Clone(); }
  bool has_backup() const { return backup_ != nullptr; }
  // The backup takes the journal's place; it stays for another time.
  void Restore() { memory_ = backup_->Clone(); }

 private:
  const bool has_mark_;
  std::unique_ptr<journal::MemoryJournal> memory_ = std::make_unique<journal::MemoryJournal>();
  std::unique_ptr<journal::MemoryJournal> backup_;
  uint64_t mark_ = 0;  // the highest incarnation ever
  uint64_t jump_ = 0;  // of this opening: what the mark adds to the journal's own number
};

}  // namespace trainyard::sim

#endif  // TRAINYARD_SIM_RUN_SIM_JOURNAL_H_
