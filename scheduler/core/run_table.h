// Runs by uid. Most runs of a long queue have only been made and wait: these are kept as the four
// numbers that they are, a ninth of a row, and made into a row for each who asks. All others are
// rows as they were put. Who reads sees no difference, but that the row of a packed run is the
// reader's own: it lives as long as the pointer that was given.
//  - Uids rise, which fills the nodes of these trees; a hash table would be half empty at times.
#ifndef TRAINYARD_SCHEDULER_CORE_RUN_TABLE_H_
#define TRAINYARD_SCHEDULER_CORE_RUN_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/container/btree_map.h"
#include "trainyard/journal/v1/journal.pb.h"

namespace trainyard::core {

using RunPtr = std::shared_ptr<const journal::v1::RunRow>;

class RunTable {
  struct Packed {
    uint64_t job_uid = 0;
    int64_t queued_us = 0;
    uint64_t revision = 0;
  };
  using PackedMap = absl::btree_map<uint64_t, Packed>;
  using RowMap = absl::btree_map<uint64_t, RunPtr>;

 public:
  using key_type = uint64_t;
  using mapped_type = RunPtr;
  using value_type = std::pair<uint64_t, RunPtr>;

  // In order of uids, over both kinds. Valid until the table changes.
  class const_iterator {
   public:
    const value_type& operator*() const { return entry_; }
    const value_type* operator->() const { return &entry_; }
    const_iterator& operator++();
    bool operator==(const const_iterator& other) const {
      return packed_ == other.packed_ && row_ == other.row_;
    }

   private:
    friend class RunTable;
    const_iterator(const RunTable* table, PackedMap::const_iterator packed,
                   RowMap::const_iterator row);
    bool AtPacked() const;
    void Load();
    const RunTable* table_;
    PackedMap::const_iterator packed_;  // the next of each kind; the lower uid is meant
    RowMap::const_iterator row_;
    value_type entry_;
  };

  const_iterator begin() const { return {this, packed_.begin(), rows_.begin()}; }
  const_iterator end() const { return {this, packed_.end(), rows_.end()}; }
  const_iterator find(uint64_t uid) const;
  bool contains(uint64_t uid) const { return packed_.contains(uid) || rows_.contains(uid); }
  size_t size() const { return packed_.size() + rows_.size(); }
  bool empty() const { return size() == 0; }
  // The row of a run that is there.
  RunPtr at(uint64_t uid) const { return find(uid)->second; }

  // Puts a row in the place of what the run was before.
  void Put(RunPtr row);
  void erase(uint64_t uid);

  // Those that are more than made: begun, ended, on back-off, of a trial, or anything else.
  const RowMap& rows() const { return rows_; }
  // Calls `visit(row)` for each of the others, by uid.
  template <class Visit>
  void ForEachPacked(Visit&& visit) const {
    for (const auto& [uid, packed] : packed_) visit(Unpack(uid, packed));
  }

 private:
  static RunPtr Unpack(uint64_t uid, const Packed& packed);

  PackedMap packed_;
  RowMap rows_;
};

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_RUN_TABLE_H_
