// Gathers rows that changed and writes them to the journal in the background, so that recovery
// starts from rows and a short tail. One write is one consistent picture: every change up to its
// sequence. Archived jobs leave the view once their rows are written. Note() is called by the
// thread that delivers batches, Flush() by one other; both lock shortly.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_ROW_KEEPER_H_
#define TRAINYARD_SCHEDULER_RUNTIME_ROW_KEEPER_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "common/mutex.h"
#include "scheduler/journal/journal.h"
#include "scheduler/runtime/delta.h"
#include "scheduler/runtime/view_table.h"

namespace trainyard::runtime {

class RowKeeper {
 public:
  RowKeeper(journal::Journal* journal, uint64_t incarnation, ViewTable* view)
      : journal_(journal), incarnation_(incarnation), view_(view) {}

  // `delta` is durable in the journal.
  void Note(const Delta& delta);
  // Rows that wait; a row that changed twice counts once.
  size_t pending() const;
  // Writes all that waits. ABORTED, RESOURCE_EXHAUSTED and others as WriteRows gives them; then
  // everything still waits.
  absl::Status Flush();

 private:
  template <typename Key, typename Row>
  using Table = absl::btree_map<Key, Row>;
  struct Tables {
    Table<uint64_t, core::JobPtr> jobs;
    Table<uint64_t, core::SpecPtr> specs;
    Table<uint64_t, core::RunPtr> runs;
    Table<uint64_t, core::StudyPtr> studies;
    Table<core::TrialKey, core::KeptTrial> trials;
    Table<std::string, core::AgentPtr> agents;
    Table<std::string, core::TokenPtr> tokens;
    Table<core::ShortId, core::RequestPtr> requests;
    Table<std::string, core::SettingPtr> setting_rows;
    Table<std::string, core::LedgerPtr> ledger;
    std::shared_ptr<const Settings> settings;
    std::shared_ptr<const journal::v1::ServerRow> server;
    std::vector<Archive> archives;
    uint64_t revision = 0;
    size_t size() const {
      return jobs.size() + specs.size() + runs.size() + studies.size() + trials.size() +
             agents.size() + tokens.size() + requests.size() + setting_rows.size() + ledger.size() +
             archives.size();
    }
  };
  static Delta DeltaOfTables(const Tables& tables);
  // Puts what could not be written back below what came since.
  void PutBack(Tables tables);

  journal::Journal* const journal_;
  const uint64_t incarnation_;
  ViewTable* const view_;
  mutable Mutex mutex_;
  Tables tables_ ABSL_GUARDED_BY(mutex_);
  uint64_t written_ ABSL_GUARDED_BY(mutex_) = 0;  // through this sequence
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_ROW_KEEPER_H_
