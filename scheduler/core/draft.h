// A draft: the events a command leads to, and the rows as they will be once those are applied, on
// top of a state that stays as it is. Machines read a draft, emit into it and see at once what
// follows; so cascades (a member exits, so its attempt ends, so its job ends) are plain calls.
// Costs O(rows touched).
#ifndef TRAINYARD_SCHEDULER_CORE_DRAFT_H_
#define TRAINYARD_SCHEDULER_CORE_DRAFT_H_

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "scheduler/core/command.h"
#include "scheduler/core/rows.h"

namespace trainyard::core {

class Draft : public Rows {
 public:
  Draft(const State& state, const Command& command);

  const State& state() const { return state_; }
  const Command& command() const { return command_; }
  const Principal& principal() const { return command_.principal; }
  int64_t now_us() const { return now_us_; }  // never before the last event's time

  // Stamps and keeps the event, and folds it into the draft.
  void Emit(records::Event event);
  // The same without folding: for events whose rows nobody reads in this command.
  void EmitUnread(records::Event event);
  std::vector<records::Event>& events() { return events_; }

  // Jobs that this command told of the end of one they wait for.
  int dependents_told = 0;
  // A study whose trials are being ended; 0: none.
  uint64_t study_ending = 0;

  // A uid never used before; only for things that the command creates.
  uint64_t NextUid();

  std::vector<int32_t> OpenTrials(uint64_t study_uid) const override;
  const NodeUse& UseOf(const std::string& node_id) const;
  // Runs that hold something on the node, rising.
  std::set<uint64_t> RunsOn(const std::string& node_id) const;

  const records::ServerRow& Server() const override;
  JobPtr Job(uint64_t uid) const override;
  SpecPtr Spec(uint64_t job_uid) const override;
  RunPtr Run(uint64_t uid) const override;
  StudyPtr Study(uint64_t uid) const override;
  TrialPtr Trial(TrialKey key) const override;
  AgentPtr Agent(const std::string& node_id) const override;
  TokenPtr Token(const std::string& id) const override;
  SettingPtr Setting(const std::string& key) const override;
  LedgerPtr Ledger(const std::string& key) const override;

  void PutServer(const records::ServerRow& row) override;
  void PutJob(JobPtr row) override;
  void PutSpec(uint64_t job_uid, const v1::JobSpec& spec) override;
  void PutRun(RunPtr row) override;
  void PutStudy(StudyPtr row) override;
  void PutTrial(TrialPtr row) override;
  void PutAgent(AgentPtr row) override;
  void PutToken(TokenPtr row) override;
  void PutTier(const v1::ScaleTier&) override {}
  void PutProject(const records::ProjectRow&) override {}
  void PutRequest(const records::RequestRow&) override {}
  void PutSetting(SettingPtr) override {}
  void DropSetting(const std::string&) override {}
  void PutLedger(LedgerPtr) override {}

 private:
  NodeUse* EditUse(const std::string& node_id);

  const State& state_;
  const Command& command_;
  const int64_t now_us_;
  uint64_t next_uid_;
  std::vector<records::Event> events_;

  std::optional<records::ServerRow> server_;
  absl::flat_hash_map<uint64_t, JobPtr> jobs_;
  absl::flat_hash_map<uint64_t, SpecPtr> specs_;
  absl::flat_hash_map<uint64_t, RunPtr> runs_;
  absl::flat_hash_map<uint64_t, StudyPtr> studies_;
  std::map<TrialKey, TrialPtr> trials_;
  std::map<std::string, AgentPtr> agents_;
  std::map<std::string, TokenPtr> tokens_;
  std::map<std::string, NodeUse> use_;
};

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_DRAFT_H_
