// Entity rows as the journal stores them: kinds, keys, and the way back into a State.
//  - live kinds: job spec run study trial agent token tier project request setting ledger server
//  - terminal jobs that left memory: old_job old_spec old_run old_study old_trial, and the names
//  old_job_name, old_study_name -> uid. Keys of old_job and old_study fall with the uid, so that
//  reading in order of key gives the newest first.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_ROWS_H_
#define TRAINYARD_SCHEDULER_RUNTIME_ROWS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "scheduler/core/state.h"
#include "scheduler/journal/journal.h"
#include "scheduler/runtime/delta.h"

namespace trainyard::runtime {

std::string UidKey(uint64_t uid);         // big-endian
std::string FallingUidKey(uint64_t uid);  // of ~uid
uint64_t UidOfKey(absl::string_view key);
std::string TrialRowKey(const core::TrialKey& key);

// Live rows of `delta`; null rows become deletions.
std::vector<journal::RowUpdate> LiveRows(const Delta& delta);
// old_* rows of an archive and the deletion of its live rows.
std::vector<journal::RowUpdate> ArchiveRows(const Archive& archive, uint64_t sequence);

// Fills the entities and indexes of an empty state from live rows, which are used up. Equal specs
// share one object. DATA_LOSS when a row does not parse.
absl::Status LoadRows(journal::Recovered* recovered, core::State* state);

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_ROWS_H_
