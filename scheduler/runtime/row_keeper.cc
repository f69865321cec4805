// See row_keeper.h.
#include "scheduler/runtime/row_keeper.h"

#include "common/fault_point.h"
#include "scheduler/runtime/rows.h"

namespace trainyard::runtime {
namespace {

template <typename Pairs, typename Table>
void Merge(const Pairs& pairs, Table* table) {
  for (const auto& [key, row] : pairs) (*table)[key] = row;
}

template <typename Table, typename Pairs>
void Spread(const Table& table, Pairs* pairs) {
  pairs->assign(table.begin(), table.end());
}

}  // namespace

void RowKeeper::Note(const Delta& delta) {
  MutexLock lock(&mutex_);
  Merge(delta.jobs, &tables_.jobs);
  Merge(delta.specs, &tables_.specs);
  Merge(delta.runs, &tables_.runs);
  Merge(delta.studies, &tables_.studies);
  Merge(delta.trials, &tables_.trials);
  Merge(delta.agents, &tables_.agents);
  Merge(delta.tokens, &tables_.tokens);
  Merge(delta.requests, &tables_.requests);
  Merge(delta.setting_rows, &tables_.setting_rows);
  Merge(delta.ledger, &tables_.ledger);
  if (delta.settings != nullptr) tables_.settings = delta.settings;
  if (delta.server != nullptr) tables_.server = delta.server;
  tables_.archives.insert(tables_.archives.end(), delta.archives.begin(), delta.archives.end());
  tables_.revision = std::max(tables_.revision, delta.revision);
}

size_t RowKeeper::pending() const {
  MutexLock lock(&mutex_);
  return tables_.size() + (tables_.revision > written_ ? 1 : 0);
}

Delta RowKeeper::DeltaOfTables(const Tables& tables) {
  Delta delta;
  delta.revision = tables.revision;
  Spread(tables.jobs, &delta.jobs);
  Spread(tables.specs, &delta.specs);
  Spread(tables.runs, &delta.runs);
  Spread(tables.studies, &delta.studies);
  Spread(tables.trials, &delta.trials);
  Spread(tables.agents, &delta.agents);
  Spread(tables.tokens, &delta.tokens);
  Spread(tables.requests, &delta.requests);
  Spread(tables.setting_rows, &delta.setting_rows);
  Spread(tables.ledger, &delta.ledger);
  delta.settings = tables.settings;
  delta.server = tables.server;
  return delta;
}

void RowKeeper::PutBack(Tables tables) {
  MutexLock lock(&mutex_);
  Tables newer = std::move(tables_);
  tables_ = std::move(tables);
  Merge(newer.jobs, &tables_.jobs);
  Merge(newer.specs, &tables_.specs);
  Merge(newer.runs, &tables_.runs);
  Merge(newer.studies, &tables_.studies);
  Merge(newer.trials, &tables_.trials);
  Merge(newer.agents, &tables_.agents);
  Merge(newer.tokens, &tables_.tokens);
  Merge(newer.requests, &tables_.requests);
  Merge(newer.setting_rows, &tables_.setting_rows);
  Merge(newer.ledger, &tables_.ledger);
  if (newer.settings != nullptr) tables_.settings = newer.settings;
  if (newer.server != nullptr) tables_.server = newer.server;
  tables_.archives.insert(tables_.archives.end(), newer.archives.begin(), newer.archives.end());
  tables_.revision = std::max(tables_.revision, newer.revision);
}

absl::Status RowKeeper::Flush() {
  Tables tables;
  {
    MutexLock lock(&mutex_);
    if (tables_.size() == 0 && tables_.revision <= written_) return absl::OkStatus();
    tables = std::move(tables_);
    tables_ = Tables();
    tables_.revision = tables.revision;
  }
  std::vector<journal::RowUpdate> rows = LiveRows(DeltaOfTables(tables));
  for (const Archive& archive : tables.archives) {
    for (journal::RowUpdate& row : ArchiveRows(archive, tables.revision)) {
      rows.push_back(std::move(row));
    }
  }
  TRAINYARD_FAULT_POINT("runtime.before_rows");
  const absl::Status status = journal_->WriteRows(incarnation_, rows, tables.revision);
  TRAINYARD_FAULT_POINT("runtime.after_rows");
  if (!status.ok()) {
    PutBack(std::move(tables));
    return status;
  }
  for (const Archive& archive : tables.archives) view_->Drop(archive);
  MutexLock lock(&mutex_);
  written_ = std::max(written_, tables.revision);
  return absl::OkStatus();
}

}  // namespace trainyard::runtime
