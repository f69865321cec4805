// See run_table.h.
#include "scheduler/core/run_table.h"

namespace trainyard::core {

RunPtr RunTable::Unpack(uint64_t uid, const Packed& packed) {
  auto row = std::make_shared<journal::v1::RunRow>();
  row->set_uid(uid);
  row->set_job_uid(packed.job_uid);
  row->set_state(journal::v1::R_WAITING);
  row->set_queued_us(packed.queued_us);
  row->set_revision(packed.revision);
  return row;
}

void RunTable::Put(RunPtr row) {
  const uint64_t uid = row->uid();
  if (row->state() == journal::v1::R_WAITING && row->trial() == 0) {
    const Packed packed = {row->job_uid(), row->queued_us(), row->revision()};
    // Whatever else a row has, now or in a later version, makes it longer.
    if (Unpack(uid, packed)->ByteSizeLong() == row->ByteSizeLong()) {
      rows_.erase(uid);
      packed_[uid] = packed;
      return;
    }
  }
  packed_.erase(uid);
  rows_[uid] = std::move(row);
}

void RunTable::erase(uint64_t uid) {
  packed_.erase(uid);
  rows_.erase(uid);
}

RunTable::const_iterator RunTable::find(uint64_t uid) const {
  // The other kind's iterator stands where its next uid is, so that ++ goes on in order.
  const auto packed = packed_.lower_bound(uid);
  const auto row = rows_.lower_bound(uid);
  const bool found = (packed != packed_.end() && packed->first == uid) ||
                     (row != rows_.end() && row->first == uid);
  return found ? const_iterator(this, packed, row) : end();
}

RunTable::const_iterator::const_iterator(const RunTable* table, PackedMap::const_iterator packed,
                                         RowMap::const_iterator row)
    : table_(table), packed_(packed), row_(row) {
  Load();
}

bool RunTable::const_iterator::AtPacked() const {
  if (packed_ == table_->packed_.end()) return false;
  return row_ == table_->rows_.end() || packed_->first < row_->first;
}

void RunTable::const_iterator::Load() {
  if (AtPacked()) {
    entry_ = {packed_->first, Unpack(packed_->first, packed_->second)};
  } else if (row_ != table_->rows_.end()) {
    entry_ = {row_->first, row_->second};
  } else {
    entry_ = {};
  }
}

RunTable::const_iterator& RunTable::const_iterator::operator++() {
  if (AtPacked()) {
    ++packed_;
  } else {
    ++row_;
  }
  Load();
  return *this;
}

}  // namespace trainyard::core
