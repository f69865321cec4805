// See view_table.h. Publication and watching; the look-ups are in view_lookup.cc.
#include "scheduler/runtime/view_table.h"

#include "absl/strings/str_cat.h"
#include "scheduler/core/capacity.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::runtime {
namespace {

template <typename Map, typename Key, typename Row>
void Put(const Key& key, const Row& row, Map* map) {
  if (row == nullptr) {
    map->erase(key);
  } else {
    (*map)[key] = row;
  }
}

// Nodes on which the run holds anything.
std::set<std::string> NodesOf(const core::RunPtr& run) {
  std::set<std::string> nodes;
  if (run == nullptr) return nodes;
  core::ForEachHold(*run,
                    [&](const journal::v1::MemberRow& member) { nodes.insert(member.node_id()); });
  return nodes;
}

uint64_t KeyOf(const journal::v1::JobRow& job) {
  return core::NameHash(absl::StrCat(job.project(), "/", job.job_id()));
}

}  // namespace

void ViewTable::PublishJobs(const Delta& delta) {
  for (const auto& [uid, job] : delta.jobs) {
    if (job == nullptr) {
      jobs_.erase(uid);
      continue;
    }
    JobEntry& entry = jobs_[uid];
    if (entry.job == nullptr) job_names_[KeyOf(*job)] = uid;
    entry.job = job;
  }
  for (const auto& [uid, spec] : delta.specs) {
    // A spec comes with its job.
    if (const auto job = jobs_.find(uid); job != jobs_.end()) job->second.spec = spec;
  }
  for (const auto& [uid, run] : delta.runs) PutRun(uid, run);
  for (const ExplanationPtr& explanation : delta.explanations) {
    // A plan may be older than what was decided since.
    const auto run = runs_.find(explanation->run_uid);
    if (run == runs_.end() || run->second->state() != journal::v1::R_WAITING) continue;
    explanations_[explanation->run_uid] = explanation;
  }
}

void ViewTable::PutRun(uint64_t uid, const core::RunPtr& run) {
  const auto found = runs_.rows().find(uid);  // a packed run holds nothing
  const std::set<std::string> before =
      NodesOf(found == runs_.rows().end() ? nullptr : found->second);
  const std::set<std::string> after = NodesOf(run);
  for (const std::string& node : before) {
    if (!after.contains(node)) runs_by_node_[node].erase(uid);
  }
  for (const std::string& node : after) runs_by_node_[node].insert(uid);
  if (run == nullptr) {
    runs_.erase(uid);
  } else {
    runs_.Put(run);
  }
  const bool is_row = runs_.rows().contains(uid);
  if (is_row && (run->state() != journal::v1::R_DONE || !after.empty())) {
    live_runs_.insert(uid);
  } else {
    live_runs_.erase(uid);
  }
  if (run == nullptr || run->state() != journal::v1::R_WAITING) explanations_.erase(uid);
}

void ViewTable::PublishStudies(const Delta& delta) {
  for (const auto& [uid, study] : delta.studies) {
    if (const auto old = studies_.find(uid); study == nullptr && old != studies_.end()) {
      const core::ShortId name = core::NameKey(old->second->project(), old->second->study_id());
      const auto named = study_names_.find(name);
      if (named != study_names_.end() && named->second == uid) study_names_.erase(named);
    }
    Put(uid, study, &studies_);
    if (study != nullptr && !study->deleted()) {
      study_names_[core::NameKey(study->project(), study->study_id())] = uid;
    }
  }
  for (const auto& [key, trial] : delta.trials) Put(key, trial, &trials_);
}

void ViewTable::PublishNodes(const Delta& delta) {
  for (const auto& [id, agent] : delta.agents) Put(id, agent, &agents_);
  for (const auto& [id, token] : delta.tokens) {
    const auto found = tokens_.find(id);
    if (found != tokens_.end()) token_by_hash_.erase(found->second->hash());
    Put(id, token, &tokens_);
    if (token != nullptr) token_by_hash_[token->hash()] = id;
  }
  for (const auto& [key, setting] : delta.setting_rows) Put(key, setting, &setting_rows_);
  for (const auto& [key, ledger] : delta.ledger) Put(key, ledger, &ledger_);
  if (delta.settings != nullptr) settings_ = delta.settings;
  if (delta.server != nullptr) incarnation_ = delta.server->incarnation();
}

std::set<uint64_t> ViewTable::JobsOf(const Delta& delta) const {
  std::set<uint64_t> jobs;
  for (const auto& [uid, job] : delta.jobs) jobs.insert(uid);
  for (const auto& [uid, run] : delta.runs) {
    if (run != nullptr) jobs.insert(run->job_uid());
  }
  for (const auto& [uid, study] : delta.studies) {
    if (study != nullptr) jobs.insert(study->job_uid());
  }
  for (const auto& [key, trial] : delta.trials) {
    const auto study = studies_.find(key.first);
    if (study != studies_.end()) jobs.insert(study->second->job_uid());
  }
  for (const ExplanationPtr& explanation : delta.explanations) {
    const auto run = runs_.find(explanation->run_uid);
    if (run != runs_.end()) jobs.insert(run->second->job_uid());
  }
  return jobs;
}

void ViewTable::Publish(const Delta& delta) {
  std::vector<std::shared_ptr<std::function<void(uint64_t)>>> calls;
  uint64_t revision = 0;
  {
    MutexLock lock(&mutex_);
    PublishJobs(delta);
    PublishStudies(delta);
    PublishNodes(delta);
    if (delta.revision > revision_) revision_ = delta.revision;
    revision = revision_;
    if (!watchers_.empty()) {
      const std::set<uint64_t> jobs = JobsOf(delta);
      for (const auto& [id, watcher] : watchers_) {
        if (watcher.job_uid == 0 || jobs.contains(watcher.job_uid)) {
          calls.push_back(watcher.on_change);
        }
      }
    }
  }
  for (const auto& call : calls) (*call)(revision);
}

void ViewTable::Fill(const Delta& delta, const core::RunTable& runs) {
  {
    MutexLock lock(&mutex_);
    runs_ = runs;
    for (const auto& [uid, run] : runs.rows()) PutRun(uid, run);
  }
  Publish(delta);
}

void ViewTable::Drop(const Archive& archive) {
  if (archive.job == nullptr) return;
  MutexLock lock(&mutex_);
  jobs_.erase(archive.job->uid());
  job_names_.erase(KeyOf(*archive.job));
  for (const core::RunPtr& run : archive.runs) PutRun(run->uid(), nullptr);
  for (const core::TrialPtr& trial : archive.trials) {
    trials_.erase({trial->study_uid(), trial->id()});
  }
  if (archive.study != nullptr) {
    studies_.erase(archive.study->uid());
    study_names_.erase(core::NameKey(archive.study->project(), archive.study->study_id()));
  }
}

uint64_t ViewTable::Watch(uint64_t job_uid, std::function<void(uint64_t)> on_change) const {
  MutexLock lock(&mutex_);
  const uint64_t id = next_watcher_++;
  watchers_[id] = {job_uid, std::make_shared<std::function<void(uint64_t)>>(std::move(on_change))};
  return id;
}

void ViewTable::Unwatch(uint64_t id) const {
  MutexLock lock(&mutex_);
  watchers_.erase(id);
}

}  // namespace trainyard::runtime
