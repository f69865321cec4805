// Look-ups of the read view; see view_table.h. Memory first, then the journal's rows of terminal
// jobs, outside the lock.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "scheduler/core/state_rows.h"
#include "scheduler/runtime/rows.h"
#include "scheduler/runtime/view_table.h"

namespace trainyard::runtime {
namespace {

constexpr int kRowsPerRead = 256;
constexpr int kRowsScannedMax = 20000;  // of other projects, in one listing

template <typename Map, typename Key>
typename Map::mapped_type Find(const Map& map, const Key& key) {
  const auto found = map.find(key);
  return found == map.end() ? typename Map::mapped_type() : found->second;
}

}  // namespace

template <typename Row>
std::shared_ptr<const Row> ViewTable::Old(absl::string_view kind, absl::string_view key) const {
  if (journal_ == nullptr) return nullptr;
  const absl::StatusOr<std::string> bytes = journal_->ReadRow(kind, key);
  if (!bytes.ok() || bytes->empty()) return nullptr;
  auto row = std::make_shared<Row>();
  if (!row->ParseFromString(*bytes)) return nullptr;
  return row;
}

uint64_t ViewTable::revision() const {
  MutexLock lock(&mutex_);
  return revision_;
}

uint64_t ViewTable::incarnation() const {
  MutexLock lock(&mutex_);
  return incarnation_;
}

core::JobPtr ViewTable::Job(uint64_t uid) const {
  if (uid == 0) return nullptr;
  {
    MutexLock lock(&mutex_);
    if (const auto found = jobs_.find(uid); found != jobs_.end()) return found->second.job;
  }
  return Old<journal::v1::JobRow>("old_job", FallingUidKey(uid));
}

core::JobPtr ViewTable::JobByName(absl::string_view project, absl::string_view job_id) const {
  const uint64_t id = core::NameHash(absl::StrCat(project, "/", job_id));
  {
    MutexLock lock(&mutex_);
    if (const auto found = job_names_.find(id); found != job_names_.end()) {
      const auto job = jobs_.find(found->second);
      const bool is_it = job != jobs_.end() && job->second.job->job_id() == job_id &&
                         job->second.job->project() == project;
      if (is_it) return job->second.job;
    }
  }
  if (journal_ == nullptr) return nullptr;
  const absl::StatusOr<std::string> key =
      journal_->ReadRow("old_job_name", absl::StrCat(project, "/", job_id));
  if (!key.ok() || key->empty()) return nullptr;
  return Old<journal::v1::JobRow>("old_job", FallingUidKey(UidOfKey(*key)));
}

core::SpecPtr ViewTable::Spec(uint64_t job_uid) const {
  {
    MutexLock lock(&mutex_);
    if (const auto found = jobs_.find(job_uid); found != jobs_.end()) return found->second.spec;
  }
  const auto row = Old<journal::v1::SpecRow>("old_spec", UidKey(job_uid));
  if (row == nullptr) return nullptr;
  return core::SpecPtr(row, &row->spec());
}

core::RunPtr ViewTable::Run(uint64_t run_uid) const {
  if (run_uid == 0) return nullptr;
  {
    MutexLock lock(&mutex_);
    if (auto run = Find(runs_, run_uid); run != nullptr) return run;
  }
  return Old<journal::v1::RunRow>("old_run", UidKey(run_uid));
}

core::StudyPtr ViewTable::Study(uint64_t uid) const {
  if (uid == 0) return nullptr;
  {
    MutexLock lock(&mutex_);
    if (auto study = Find(studies_, uid); study != nullptr) return study;
  }
  return Old<journal::v1::StudyRow>("old_study", FallingUidKey(uid));
}

core::StudyPtr ViewTable::StudyByName(absl::string_view project, absl::string_view study_id) const {
  const core::ShortId id = core::NameKey(project, study_id);
  {
    MutexLock lock(&mutex_);
    if (const auto found = study_names_.find(id); found != study_names_.end()) {
      if (auto study = Find(studies_, found->second); study != nullptr) return study;
    }
  }
  if (journal_ == nullptr) return nullptr;
  const absl::StatusOr<std::string> key =
      journal_->ReadRow("old_study_name", absl::StrCat(project, "/", study_id));
  if (!key.ok() || key->empty()) return nullptr;
  return Old<journal::v1::StudyRow>("old_study", FallingUidKey(UidOfKey(*key)));
}

core::TrialPtr ViewTable::Trial(uint64_t study_uid, int32_t id) const {
  core::KeptTrial kept;
  {
    MutexLock lock(&mutex_);
    kept = Find(trials_, core::TrialKey(study_uid, id));
  }
  if (auto trial = kept.row(); trial != nullptr) return trial;
  return Old<journal::v1::TrialRow>("old_trial", TrialRowKey({study_uid, id}));
}

std::vector<core::TrialPtr> ViewTable::Trials(uint64_t study_uid, int32_t after, int limit) const {
  std::vector<core::KeptTrial> here;  // read outside the lock
  bool known = false;
  {
    MutexLock lock(&mutex_);
    for (auto it = trials_.upper_bound({study_uid, after});
         it != trials_.end() && it->first.first == study_uid &&
         static_cast<int>(here.size()) < limit;
         ++it) {
      here.push_back(it->second);
    }
    known = studies_.contains(study_uid);
  }
  std::vector<core::TrialPtr> trials;
  for (const core::KeptTrial& trial : here) trials.push_back(trial.row());
  // A study is in memory whole or not at all.
  if (!trials.empty() || known) return trials;
  if (journal_ == nullptr) return trials;
  const auto rows =
      journal_->ReadRows("old_trial", UidKey(study_uid), TrialRowKey({study_uid, after}), limit);
  if (!rows.ok()) return trials;
  for (const journal::RowUpdate& row : *rows) {
    auto trial = std::make_shared<journal::v1::TrialRow>();
    if (trial->ParseFromString(row.value)) trials.push_back(std::move(trial));
  }
  return trials;
}

std::vector<core::AgentPtr> ViewTable::Agents() const {
  MutexLock lock(&mutex_);
  std::vector<core::AgentPtr> agents;
  for (const auto& [id, agent] : agents_) agents.push_back(agent);
  return agents;
}

core::AgentPtr ViewTable::Agent(absl::string_view node_id) const {
  MutexLock lock(&mutex_);
  return Find(agents_, std::string(node_id));
}

core::TokenPtr ViewTable::TokenByHash(absl::string_view hash) const {
  MutexLock lock(&mutex_);
  const auto found = token_by_hash_.find(std::string(hash));
  return found == token_by_hash_.end() ? nullptr : Find(tokens_, found->second);
}

std::vector<core::TokenPtr> ViewTable::Tokens() const {
  MutexLock lock(&mutex_);
  std::vector<core::TokenPtr> tokens;
  for (const auto& [id, token] : tokens_) tokens.push_back(token);
  return tokens;
}

std::vector<trainyard::v1::ScaleTier> ViewTable::Tiers() const {
  MutexLock lock(&mutex_);
  return settings_->tiers;
}

std::vector<journal::v1::ProjectRow> ViewTable::Projects() const {
  MutexLock lock(&mutex_);
  return settings_->projects;
}

core::SettingPtr ViewTable::Setting(absl::string_view key) const {
  MutexLock lock(&mutex_);
  const auto found = setting_rows_.find(key);
  return found == setting_rows_.end() ? nullptr : found->second;
}

std::vector<core::SettingPtr> ViewTable::SettingsBelow(absl::string_view prefix) const {
  MutexLock lock(&mutex_);
  std::vector<core::SettingPtr> settings;
  for (auto it = setting_rows_.lower_bound(prefix);
       it != setting_rows_.end() && absl::StartsWith(it->first, prefix); ++it) {
    settings.push_back(it->second);
  }
  return settings;
}

std::vector<core::LedgerPtr> ViewTable::Ledger(int32_t from_day, int32_t until_day) const {
  MutexLock lock(&mutex_);
  std::vector<core::LedgerPtr> rows;
  for (const auto& [key, row] : ledger_) {
    if (row->day() >= from_day && row->day() < until_day) rows.push_back(row);
  }
  return rows;
}

std::vector<core::RunPtr> ViewTable::LiveRuns() const {
  MutexLock lock(&mutex_);
  std::vector<core::RunPtr> runs;
  for (const uint64_t uid : live_runs_) {
    if (auto run = Find(runs_, uid); run != nullptr) runs.push_back(std::move(run));
  }
  runs_.ForEachPacked([&](core::RunPtr run) { runs.push_back(std::move(run)); });
  return runs;
}

std::vector<core::RunPtr> ViewTable::RunsOnNode(absl::string_view node_id) const {
  MutexLock lock(&mutex_);
  std::vector<core::RunPtr> runs;
  const auto found = runs_by_node_.find(node_id);
  if (found == runs_by_node_.end()) return runs;
  for (const uint64_t uid : found->second) {
    if (auto run = Find(runs_, uid); run != nullptr) runs.push_back(std::move(run));
  }
  return runs;
}

// Adds archived rows of the project below `before_uid`, newest first, until there are `limit`.
template <typename Row>
void ViewTable::AppendOld(absl::string_view kind, absl::string_view project, uint64_t before_uid,
                          size_t limit, std::vector<std::shared_ptr<const Row>>* rows) const {
  if (journal_ == nullptr) return;
  std::string after = before_uid == 0 ? "" : FallingUidKey(before_uid);
  for (int scanned = 0; rows->size() < limit && scanned < kRowsScannedMax;
       scanned += kRowsPerRead) {
    const auto page = journal_->ReadRows(kind, "", after, kRowsPerRead);
    if (!page.ok() || page->empty()) return;
    for (const journal::RowUpdate& update : *page) {
      auto row = std::make_shared<Row>();
      if (!row->ParseFromString(update.value)) continue;
      if (project.empty() || row->project() == project) rows->push_back(std::move(row));
      if (rows->size() == limit) return;
    }
    after = page->back().key;
  }
}

namespace {

// Newest first, each uid once, at most `limit`.
template <typename Row>
std::vector<std::shared_ptr<const Row>> Merged(std::vector<std::shared_ptr<const Row>> a,
                                               std::vector<std::shared_ptr<const Row>> b,
                                               size_t limit) {
  a.insert(a.end(), b.begin(), b.end());
  std::stable_sort(a.begin(), a.end(),
                   [](const auto& x, const auto& y) { return x->uid() > y->uid(); });
  a.erase(std::unique(a.begin(), a.end(),
                      [](const auto& x, const auto& y) { return x->uid() == y->uid(); }),
          a.end());
  if (a.size() > limit) a.resize(limit);
  return a;
}

// Rows of `table` below `before_uid`, newest first; `row_of` finds the row in a table's entry.
template <typename Row, typename Table, typename RowOf>
std::vector<std::shared_ptr<const Row>> Below(const Table& table, absl::string_view project,
                                              uint64_t before_uid, size_t limit, RowOf row_of) {
  std::vector<std::shared_ptr<const Row>> rows;
  auto it = before_uid == 0 ? table.end() : table.lower_bound(before_uid);
  while (it != table.begin() && rows.size() < limit) {
    --it;
    const std::shared_ptr<const Row>& row = row_of(it->second);
    if (project.empty() || row->project() == project) rows.push_back(row);
  }
  return rows;
}

}  // namespace

std::vector<core::JobPtr> ViewTable::Jobs(absl::string_view project, uint64_t before_uid,
                                          int limit) const {
  std::vector<core::JobPtr> here;
  std::vector<core::JobPtr> old;
  const size_t most = static_cast<size_t>(std::max(0, limit));
  {
    MutexLock lock(&mutex_);
    here = Below<journal::v1::JobRow>(
        jobs_, project, before_uid, most,
        [](const JobEntry& entry) -> const core::JobPtr& { return entry.job; });
  }
  AppendOld<journal::v1::JobRow>("old_job", project, before_uid, most, &old);
  return Merged<journal::v1::JobRow>(std::move(here), std::move(old), most);
}

std::vector<core::StudyPtr> ViewTable::Studies(absl::string_view project, uint64_t before_uid,
                                               int limit) const {
  std::vector<core::StudyPtr> here;
  std::vector<core::StudyPtr> old;
  const size_t most = static_cast<size_t>(std::max(0, limit));
  {
    MutexLock lock(&mutex_);
    here = Below<journal::v1::StudyRow>(
        studies_, project, before_uid, most,
        [](const core::StudyPtr& study) -> const core::StudyPtr& { return study; });
  }
  AppendOld<journal::v1::StudyRow>("old_study", project, before_uid, most, &old);
  return Merged<journal::v1::StudyRow>(std::move(here), std::move(old), most);
}

std::shared_ptr<const placement::Explanation> ViewTable::Explanation(uint64_t run_uid) const {
  MutexLock lock(&mutex_);
  if (auto known = Find(explanations_, run_uid); known != nullptr) return known;
  const core::RunPtr run = Find(runs_, run_uid);
  if (run == nullptr || run->state() != journal::v1::R_WAITING) return nullptr;
  auto explanation = std::make_shared<placement::Explanation>();
  explanation->run_uid = run_uid;
  explanation->reason = "WAITING_BEHIND";
  explanation->message = "behind those that are planned first; its turn to be looked at comes";
  return explanation;
}

}  // namespace trainyard::runtime
