// Rows: what folds and machines read and write, one immutable message per entity. Two kinds exist:
// the state itself (state_rows.h: keeps indexes and the list of what was touched) and a draft on
// top of a state (draft.h: events decided but not yet applied). So a fold is written once.
//  - A put replaces the whole row; pointers handed out earlier keep showing the old one.
//  - A read of something unknown gives null; folds of unknown things change nothing.
#ifndef TRAINYARD_SCHEDULER_CORE_ROWS_H_
#define TRAINYARD_SCHEDULER_CORE_ROWS_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "scheduler/core/state.h"
#include "scheduler/core/types.h"

namespace trainyard::core {

class Rows {
 public:
  virtual ~Rows() = default;

  virtual const records::ServerRow& Server() const = 0;
  virtual JobPtr Job(uint64_t uid) const = 0;
  virtual SpecPtr Spec(uint64_t job_uid) const = 0;
  virtual RunPtr Run(uint64_t uid) const = 0;
  virtual StudyPtr Study(uint64_t uid) const = 0;
  virtual TrialPtr Trial(TrialKey key) const = 0;
  virtual AgentPtr Agent(const std::string& node_id) const = 0;
  virtual TokenPtr Token(const std::string& id) const = 0;
  virtual SettingPtr Setting(const std::string& key) const = 0;
  virtual LedgerPtr Ledger(const std::string& key) const = 0;

  // Ids of the open trials of a study (not ended; requested ones only while it is active), rising.
  virtual std::vector<int32_t> OpenTrials(uint64_t study_uid) const = 0;

  virtual void PutServer(const records::ServerRow& row) = 0;
  virtual void PutJob(JobPtr row) = 0;
  virtual void PutSpec(uint64_t job_uid, const v1::JobSpec& spec) = 0;
  virtual void PutRun(RunPtr row) = 0;
  virtual void PutStudy(StudyPtr row) = 0;
  virtual void PutTrial(TrialPtr row) = 0;
  virtual void PutAgent(AgentPtr row) = 0;
  virtual void PutToken(TokenPtr row) = 0;
  virtual void PutTier(const v1::ScaleTier& tier) = 0;
  virtual void PutProject(const records::ProjectRow& project) = 0;
  virtual void PutRequest(const records::RequestRow& request) = 0;
  virtual void PutSetting(SettingPtr row) = 0;
  virtual void DropSetting(const std::string& key) = 0;
  virtual void PutLedger(LedgerPtr row) = 0;
};

// Copies a row, lets `change` edit the copy, marks it with the event's sequence and puts it back.
// Nothing happens when the row is unknown.
template <class Change>
void EditJob(Rows* rows, uint64_t uid, uint64_t sequence, Change&& change) {
  const JobPtr old = rows->Job(uid);
  if (old == nullptr) return;
  auto row = std::make_shared<records::JobRow>(*old);
  change(row.get());
  row->set_revision(sequence);
  rows->PutJob(std::move(row));
}
template <class Change>
void EditRun(Rows* rows, uint64_t uid, uint64_t sequence, Change&& change) {
  const RunPtr old = rows->Run(uid);
  if (old == nullptr) return;
  auto row = std::make_shared<records::RunRow>(*old);
  change(row.get());
  row->set_revision(sequence);
  rows->PutRun(std::move(row));
}
template <class Change>
void EditStudy(Rows* rows, uint64_t uid, uint64_t sequence, Change&& change) {
  const StudyPtr old = rows->Study(uid);
  if (old == nullptr) return;
  auto row = std::make_shared<records::StudyRow>(*old);
  change(row.get());
  row->set_revision(sequence);
  rows->PutStudy(std::move(row));
}
template <class Change>
void EditTrial(Rows* rows, TrialKey key, uint64_t sequence, Change&& change) {
  const TrialPtr old = rows->Trial(key);
  if (old == nullptr) return;
  auto row = std::make_shared<records::TrialRow>(*old);
  change(row.get());
  row->set_revision(sequence);
  rows->PutTrial(std::move(row));
}
template <class Change>
void EditAgent(Rows* rows, const std::string& node_id, uint64_t sequence, Change&& change) {
  const AgentPtr old = rows->Agent(node_id);
  if (old == nullptr) return;
  auto row = std::make_shared<records::AgentRow>(*old);
  change(row.get());
  row->set_revision(sequence);
  rows->PutAgent(std::move(row));
}

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_ROWS_H_
