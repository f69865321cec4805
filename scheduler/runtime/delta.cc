// See delta.h.
#include "scheduler/runtime/delta.h"

#include <algorithm>

#include "scheduler/core/state_rows.h"

namespace trainyard::runtime {
namespace {

template <typename Map, typename Key>
typename Map::mapped_type Find(const Map& map, const Key& key) {
  const auto found = map.find(key);
  return found == map.end() ? nullptr : found->second;
}

std::shared_ptr<const Settings> SettingsOf(const core::State& state) {
  auto settings = std::make_shared<Settings>();
  for (const auto& [name, tier] : state.tiers) settings->tiers.push_back(tier);
  for (const auto& [id, project] : state.projects) settings->projects.push_back(project);
  return settings;
}

}  // namespace

Delta DeltaOf(const core::State& state, const core::Touched& touched) {
  Delta delta;
  delta.revision = state.sequence;
  for (const uint64_t uid : touched.jobs) {
    delta.jobs.emplace_back(uid, Find(state.jobs, uid));
    delta.specs.emplace_back(uid, Find(state.specs, uid));
  }
  for (const uint64_t uid : touched.runs) delta.runs.emplace_back(uid, Find(state.runs, uid));
  for (const uint64_t uid : touched.studies) {
    delta.studies.emplace_back(uid, Find(state.studies, uid));
  }
  for (const core::TrialKey& key : touched.trials) {
    delta.trials.emplace_back(key, Find(state.trials, key));
  }
  for (const std::string& id : touched.agents) {
    delta.agents.emplace_back(id, Find(state.agents, id));
  }
  for (const std::string& id : touched.tokens) {
    delta.tokens.emplace_back(id, Find(state.tokens, id));
  }
  for (const core::ShortId& key : touched.requests) {
    delta.requests.emplace_back(key, core::RequestRowOf(state, key));
  }
  for (const std::string& key : touched.setting_keys) {
    delta.setting_rows.emplace_back(key, Find(state.settings, key));
  }
  for (const std::string& key : touched.ledger_keys) {
    delta.ledger.emplace_back(key, Find(state.ledger, key));
  }
  if (touched.settings) delta.settings = SettingsOf(state);
  if (touched.server) {
    delta.server = std::make_shared<const journal::v1::ServerRow>(state.server);
  }
  return delta;
}

Delta DeltaOfAll(const core::State& state) {
  core::Touched few;
  few.settings = true;
  few.server = true;
  for (const auto& [id, row] : state.agents) few.agents.insert(id);
  for (const auto& [id, row] : state.tokens) few.tokens.insert(id);
  for (const auto& [key, row] : state.settings) few.setting_keys.insert(key);
  for (const auto& [key, row] : state.ledger) few.ledger_keys.insert(key);
  Delta delta = DeltaOf(state, few);
  delta.jobs.assign(state.jobs.begin(), state.jobs.end());
  delta.specs.assign(state.specs.begin(), state.specs.end());
  delta.studies.assign(state.studies.begin(), state.studies.end());
  delta.trials.assign(state.trials.begin(), state.trials.end());
  return delta;
}

Archive ArchiveOf(const core::State& state, uint64_t job_uid) {
  Archive archive;
  archive.job = Find(state.jobs, job_uid);
  archive.spec = Find(state.specs, job_uid);
  if (archive.job == nullptr) return archive;
  if (auto run = Find(state.runs, archive.job->run_uid()); run != nullptr) {
    archive.runs.push_back(std::move(run));
  }
  if (archive.job->study_uid() == 0) return archive;
  archive.study = Find(state.studies, archive.job->study_uid());
  for (auto it = state.trials.lower_bound({archive.job->study_uid(), 0});
       it != state.trials.end() && it->first.first == archive.job->study_uid(); ++it) {
    archive.trials.push_back(it->second.row());
    if (auto run = Find(state.runs, archive.trials.back()->run_uid()); run != nullptr) {
      archive.runs.push_back(std::move(run));
    }
  }
  return archive;
}

}  // namespace trainyard::runtime
