// See memory_journal.h.
#include "scheduler/journal/memory_journal.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace trainyard::journal {

absl::StatusOr<Recovered> MemoryJournal::Recover() {
  MutexLock lock(&mutex_);
  Recovered recovered;
  recovered.incarnation = ++incarnation_;
  recovered.rows_sequence = through_;
  for (const auto& [key, row] : rows_) {
    if (absl::StartsWith(key.first, "old_")) continue;
    recovered.rows.push_back({key.first, key.second, row.value, row.sequence});
  }
  uint64_t sequence = base_;
  for (const std::string& record : records_) {
    ++sequence;
    absl::StatusOr<v1::Event> event = DecodeEvent(record);
    if (!event.ok()) return event.status();
    if (event->sequence() != sequence) {
      return absl::DataLossError(
          absl::StrCat("event ", event->sequence(), " lies in the place of ", sequence));
    }
    if (sequence > through_) recovered.tail.push_back(*std::move(event));
  }
  return recovered;
}

absl::Status MemoryJournal::Append(uint64_t incarnation, uint64_t expected_sequence,
                                   const std::vector<std::string>& batch) {
  MutexLock lock(&mutex_);
  if (incarnation != incarnation_ || expected_sequence != base_ + records_.size()) {
    return absl::AbortedError(absl::StrCat("the journal is at incarnation ", incarnation_,
                                           ", sequence ", base_ + records_.size()));
  }
  Fault fault = Fault::kNone;
  if (fault_ != Fault::kNone && fault_after_-- <= 0) {
    fault = fault_;
    fault_after_ = 0;
    if (fault_ != Fault::kFull) fault_ = Fault::kNone;
  }
  if (fault == Fault::kFull) return absl::ResourceExhaustedError("the disk is full");
  if (fault == Fault::kSyncFails) return absl::InternalError("the disk did not sync");
  records_.insert(records_.end(), batch.begin(), batch.end());
  if (fault == Fault::kReplyLost) return absl::InternalError("power failed after the sync");
  return absl::OkStatus();
}

absl::Status MemoryJournal::WriteRows(uint64_t incarnation, const std::vector<RowUpdate>& rows,
                                      uint64_t through) {
  MutexLock lock(&mutex_);
  if (incarnation != incarnation_) {
    return absl::AbortedError(absl::StrCat("the journal is at incarnation ", incarnation_));
  }
  if (fault_ == Fault::kFull && fault_after_ <= 0) {
    return absl::ResourceExhaustedError("the disk is full");
  }
  for (const RowUpdate& row : rows) {
    if (row.value.empty()) {
      rows_.erase({row.kind, row.key});
    } else {
      rows_[{row.kind, row.key}] = {row.value, row.sequence};
    }
  }
  through_ = std::max(through_, through);
  const size_t drop = std::min<size_t>(through_ > base_ ? through_ - base_ : 0, records_.size());
  records_.erase(records_.begin(), records_.begin() + static_cast<int64_t>(drop));
  base_ += drop;
  return absl::OkStatus();
}

absl::StatusOr<std::string> MemoryJournal::ReadRow(absl::string_view kind, absl::string_view key) {
  MutexLock lock(&mutex_);
  const auto found = rows_.find({std::string(kind), std::string(key)});
  if (found == rows_.end()) return absl::NotFoundError("no such row");
  return found->second.value;
}

absl::StatusOr<std::vector<RowUpdate>> MemoryJournal::ReadRows(absl::string_view kind,
                                                               absl::string_view prefix,
                                                               absl::string_view after_key,
                                                               int limit) {
  MutexLock lock(&mutex_);
  std::vector<RowUpdate> rows;
  const std::string from(std::max(prefix, after_key));
  for (auto it = rows_.lower_bound({std::string(kind), from}); it != rows_.end(); ++it) {
    if (it->first.first != std::string(kind) || static_cast<int>(rows.size()) >= limit) break;
    if (!absl::StartsWith(it->first.second, prefix)) break;
    if (absl::string_view(it->first.second) <= after_key) continue;
    rows.push_back({it->first.first, it->first.second, it->second.value, it->second.sequence});
  }
  return rows;
}

void MemoryJournal::SetFault(Fault fault) { SetFaultAfter(0, fault); }

void MemoryJournal::SetFaultAfter(int appends, Fault fault) {
  MutexLock lock(&mutex_);
  fault_ = fault;
  fault_after_ = appends;
}

void MemoryJournal::FlipBit(uint64_t sequence, size_t bit) {
  MutexLock lock(&mutex_);
  if (sequence <= base_ || sequence > base_ + records_.size()) return;
  std::string& record = records_[sequence - base_ - 1];
  record[bit / 8 % record.size()] ^= static_cast<char>(1 << bit % 8);
}

void MemoryJournal::DropLast(size_t events) {
  MutexLock lock(&mutex_);
  records_.resize(records_.size() - std::min(events, records_.size()));
}

std::unique_ptr<MemoryJournal> MemoryJournal::Clone() const {
  MutexLock lock(&mutex_);
  auto copy = std::make_unique<MemoryJournal>();
  MutexLock other(&copy->mutex_);
  copy->incarnation_ = incarnation_;
  copy->base_ = base_;
  copy->through_ = through_;
  copy->records_ = records_;
  copy->rows_ = rows_;
  return copy;
}

uint64_t MemoryJournal::sequence() const {
  MutexLock lock(&mutex_);
  return base_ + records_.size();
}

std::vector<std::string> MemoryJournal::Records() const {
  MutexLock lock(&mutex_);
  return records_;
}

std::unique_ptr<Journal> MakeMemoryJournal() { return std::make_unique<MemoryJournal>(); }

}  // namespace trainyard::journal
