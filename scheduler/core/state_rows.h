// The state as rows: every put keeps the indexes of State and notes what was touched. The only code
// that writes a State.
#ifndef TRAINYARD_SCHEDULER_CORE_STATE_ROWS_H_
#define TRAINYARD_SCHEDULER_CORE_STATE_ROWS_H_

#include <string>

#include "scheduler/core/rows.h"

namespace trainyard::core {

class StateRows : public Rows {
 public:
  StateRows(State* state, Touched* touched) : state_(state), touched_(touched) {}

  const records::ServerRow& Server() const override { return state_->server; }
  JobPtr Job(uint64_t uid) const override;
  SpecPtr Spec(uint64_t job_uid) const override;
  RunPtr Run(uint64_t uid) const override;
  StudyPtr Study(uint64_t uid) const override;
  TrialPtr Trial(TrialKey key) const override;
  AgentPtr Agent(const std::string& node_id) const override;
  TokenPtr Token(const std::string& id) const override;
  SettingPtr Setting(const std::string& key) const override;
  LedgerPtr Ledger(const std::string& key) const override;
  std::vector<int32_t> OpenTrials(uint64_t study_uid) const override;

  void PutServer(const records::ServerRow& row) override;
  void PutJob(JobPtr row) override;
  void PutSpec(uint64_t job_uid, const v1::JobSpec& spec) override;
  void PutRun(RunPtr row) override;
  void PutStudy(StudyPtr row) override;
  void PutTrial(TrialPtr row) override;
  void PutAgent(AgentPtr row) override;
  void PutToken(TokenPtr row) override;
  void PutTier(const v1::ScaleTier& tier) override;
  void PutProject(const records::ProjectRow& project) override;
  void PutRequest(const records::RequestRow& request) override;
  void PutSetting(SettingPtr row) override;
  void DropSetting(const std::string& key) override;
  void PutLedger(LedgerPtr row) override;

  // A trial as it was kept, to a state that has no such trial yet.
  void PutKept(TrialKey key, KeptTrial trial);
  // Drops request ids older than seven days, at most a few: called once per event, it keeps up.
  void PruneRequests(int64_t now_us);
  // Takes a run out of every index and out of the state.
  void EraseRun(uint64_t uid);
  // Takes a job out of the indexes of what waits for what.
  void ForgetQueue(const records::JobRow& job);

 private:
  void IndexHolds(const records::RunRow* old, const records::RunRow* now);
  void IndexDeadline(const records::RunRow& run);
  void DropDeadline(uint64_t run_uid);
  void IndexClient(const records::TrialRow* old, const records::TrialRow& now);
  // Whether the job, if it has ended, still has dependents to tell.
  void IndexTelling(uint64_t job_uid);
  void IndexQueue(const records::JobRow* old, const records::JobRow& now);
  void SetClusterDeadline(const std::string& key, int64_t time_us);

  State* const state_;
  Touched* const touched_;
};

// When something must be done about the node or the setting by the clock; kNever: never.
int64_t DueOfNode(const records::AgentRow& agent);
int64_t DueOfSetting(const records::SettingRow& setting);

// Seven days: how long a request id is remembered.
inline constexpr int64_t kRequestKeepUs = 7 * kDayUs;

// How many suggestions a live study wants now, see NeededSuggestions; 0 when none.
int SuggestionsWanted(const records::StudyRow& study);
// Whether a trial belongs into State::open_trials.
bool IsOpen(const records::TrialRow& trial, const records::StudyRow* study);
// Whether a client was handed the trial and has not completed it: State::trials_of_client.
bool IsWithClient(const records::TrialRow& trial);
bool IsTerminal(v1::JobState state);
bool IsTerminal(records::AttemptState state);
bool IsTerminal(v1::TrialState state);
// Key of the name indexes: the ShortKey of "project/name".
ShortId NameKey(absl::string_view project, absl::string_view name);
// Key of State::old_names; of "project/name".
uint64_t NameHash(absl::string_view project_and_name);
// Of any text, 15 bytes of its SHA-256; and these bytes, as rows hold them, there and back.
ShortId ShortKey(absl::string_view text);
std::string KeyBytes(const ShortId& key);
ShortId KeyOfBytes(absl::string_view bytes);

// The first 8 bytes of a body's hash: what requests are compared by.
uint64_t ShortHash(absl::string_view body_hash);
// The answer to the request `key`, as it is written down. Null when there is none.
RequestPtr RequestRowOf(const State& state, const ShortId& key);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_STATE_ROWS_H_
