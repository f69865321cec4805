// The read view as tables of immutable rows under one short lock. Written by the commit thread
// (Publish) and by the row writer (Drop: jobs that have become rows); read by any thread. What is
// not in memory is looked up among the journal's rows, outside the lock.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_VIEW_TABLE_H_
#define TRAINYARD_SCHEDULER_RUNTIME_VIEW_TABLE_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "common/mutex.h"
#include "scheduler/journal/journal.h"
#include "scheduler/runtime/delta.h"
#include "scheduler/runtime/view.h"

namespace trainyard::runtime {

class ViewTable : public View {
 public:
  // `journal` may be null: then nothing is looked up outside memory.
  explicit ViewTable(journal::Journal* journal) : journal_(journal) {}

  // Makes one durable delta visible at once and calls the watchers.
  void Publish(const Delta& delta);
  // Publish for a table that nobody reads yet, with these runs beside those of the delta.
  void Fill(const Delta& delta, const core::RunTable& runs);
  // Forgets an archived job; its rows are durable.
  void Drop(const Archive& archive);

  uint64_t revision() const override;
  uint64_t incarnation() const override;
  core::JobPtr Job(uint64_t uid) const override;
  core::JobPtr JobByName(absl::string_view project, absl::string_view job_id) const override;
  core::SpecPtr Spec(uint64_t job_uid) const override;
  core::RunPtr Run(uint64_t run_uid) const override;
  core::StudyPtr Study(uint64_t uid) const override;
  core::StudyPtr StudyByName(absl::string_view project, absl::string_view study_id) const override;
  core::TrialPtr Trial(uint64_t study_uid, int32_t id) const override;
  std::vector<core::TrialPtr> Trials(uint64_t study_uid, int32_t after, int limit) const override;
  std::vector<core::AgentPtr> Agents() const override;
  core::AgentPtr Agent(absl::string_view node_id) const override;
  core::TokenPtr TokenByHash(absl::string_view hash) const override;
  std::vector<core::TokenPtr> Tokens() const override;
  std::vector<trainyard::v1::ScaleTier> Tiers() const override;
  std::vector<journal::v1::ProjectRow> Projects() const override;
  core::SettingPtr Setting(absl::string_view key) const override;
  std::vector<core::SettingPtr> SettingsBelow(absl::string_view prefix) const override;
  std::vector<core::LedgerPtr> Ledger(int32_t from_day, int32_t until_day) const override;
  std::vector<core::RunPtr> LiveRuns() const override;
  std::vector<core::RunPtr> RunsOnNode(absl::string_view node_id) const override;
  std::vector<core::JobPtr> Jobs(absl::string_view project, uint64_t before_uid,
                                 int limit) const override;
  std::vector<core::StudyPtr> Studies(absl::string_view project, uint64_t before_uid,
                                      int limit) const override;
  std::shared_ptr<const placement::Explanation> Explanation(uint64_t run_uid) const override;
  uint64_t Watch(uint64_t job_uid, std::function<void(uint64_t)> on_change) const override;
  void Unwatch(uint64_t id) const override;

 private:
  struct JobEntry {
    core::JobPtr job;
    core::SpecPtr spec;
  };
  struct Watcher {
    uint64_t job_uid = 0;
    std::shared_ptr<std::function<void(uint64_t)>> on_change;
  };

  void PublishJobs(const Delta& delta) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PublishStudies(const Delta& delta) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PublishNodes(const Delta& delta) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PutRun(uint64_t uid, const core::RunPtr& run) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::set<uint64_t> JobsOf(const Delta& delta) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  template <typename Row>
  std::shared_ptr<const Row> Old(absl::string_view kind, absl::string_view key) const;
  template <typename Row>
  void AppendOld(absl::string_view kind, absl::string_view project, uint64_t before_uid,
                 size_t limit, std::vector<std::shared_ptr<const Row>>* rows) const;

  journal::Journal* const journal_;
  mutable Mutex mutex_;
  uint64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t incarnation_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::btree_map<uint64_t, JobEntry> jobs_ ABSL_GUARDED_BY(mutex_);
  core::RunTable runs_ ABSL_GUARDED_BY(mutex_);
  absl::btree_map<uint64_t, core::StudyPtr> studies_ ABSL_GUARDED_BY(mutex_);
  absl::btree_map<core::TrialKey, core::KeptTrial> trials_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, core::AgentPtr, std::less<>> agents_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, core::TokenPtr> tokens_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const Settings> settings_ ABSL_GUARDED_BY(mutex_) =
      std::make_shared<const Settings>();
  std::map<std::string, core::SettingPtr, std::less<>> setting_rows_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, core::LedgerPtr> ledger_ ABSL_GUARDED_BY(mutex_);
  // Not done, or holding something; those that were only made are live anyway.
  absl::btree_set<uint64_t> live_runs_ ABSL_GUARDED_BY(mutex_);
  // By core::NameHash: what is found is compared, as there are many.
  absl::flat_hash_map<uint64_t, uint64_t> job_names_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<core::ShortId, uint64_t> study_names_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, std::string> token_by_hash_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::set<uint64_t>, std::less<>> runs_by_node_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, ExplanationPtr> explanations_ ABSL_GUARDED_BY(mutex_);
  mutable std::map<uint64_t, Watcher> watchers_ ABSL_GUARDED_BY(mutex_);
  mutable uint64_t next_watcher_ ABSL_GUARDED_BY(mutex_) = 1;
};

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_VIEW_TABLE_H_
