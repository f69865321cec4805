// Terminal jobs leave memory; and loaded rows get their indexes. See core.h.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/core/capacity.h"
#include "scheduler/core/core.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::core {
namespace {

// Whether the run's members are gone, or on nodes that are away: when such an agent comes back with
// one of them, the member is stale and holds its node back until it is gone.
bool NothingLives(const State& state, const records::RunRow& run) {
  if (run.state() != records::R_DONE || run.settle_us() > 0) return false;
  bool lives = false;
  ForEachHold(run, [&](const records::MemberRow& member) {
    const auto agent = state.agents.find(member.node_id());
    lives |= agent != state.agents.end() && agent->second->connected();
  });
  return !lives;
}

std::vector<uint64_t> RunsOf(const State& state, const records::JobRow& job) {
  std::vector<uint64_t> runs;
  if (job.run_uid() != 0) runs.push_back(job.run_uid());
  for (auto it = state.trials.lower_bound({job.study_uid(), 0});
       job.study_uid() != 0 && it != state.trials.end() && it->first.first == job.study_uid();
       ++it) {
    const TrialPtr trial = it->second.row();
    if (trial->run_uid() != 0) runs.push_back(trial->run_uid());
  }
  return runs;
}

}  // namespace

void ForgetStudy(uint64_t study_uid, State* state) {
  const TrialKey begin(study_uid, 0);
  const TrialKey end(study_uid + 1, 0);
  const auto erase = [&](auto* table) {
    table->erase(table->lower_bound(begin), table->lower_bound(end));
  };
  erase(&state->trials);
  erase(&state->open_trials);
  erase(&state->requested_trials);
  state->trials_of_client.erase(state->trials_of_client.lower_bound({study_uid, ""}),
                                state->trials_of_client.lower_bound({study_uid + 1, ""}));
  state->live_studies.erase(study_uid);
  state->hungry_studies.erase(study_uid);
  state->studies.erase(study_uid);
}

bool MayForget(const State& state, uint64_t job_uid) {
  const auto job = state.jobs.find(job_uid);
  if (job == state.jobs.end() || !IsTerminal(job->second->state())) return false;
  if (state.untold_jobs.contains(job_uid)) return false;
  const std::vector<uint64_t> runs = RunsOf(state, *job->second);
  return std::all_of(runs.begin(), runs.end(), [&](uint64_t uid) {
    const auto run = state.runs.find(uid);
    return run == state.runs.end() || NothingLives(state, *run->second);
  });
}

void Forget(uint64_t job_uid, State* state) {
  const auto found = state->jobs.find(job_uid);
  if (found == state->jobs.end()) return;
  const JobPtr job = found->second;
  Touched ignored;
  StateRows rows(state, &ignored);
  for (const uint64_t uid : RunsOf(*state, *job)) rows.EraseRun(uid);
  if (const uint64_t study_uid = job->study_uid(); study_uid != 0) {
    state->study_by_name.erase(NameKey(job->project(), job->job_id()));
    ForgetStudy(study_uid, state);
  }
  state->old_names[NameHash(absl::StrCat(job->project(), "/", job->job_id()))] = job_uid;
  state->job_by_name.erase(NameKey(job->project(), job->job_id()));
  rows.ForgetQueue(*job);
  state->specs.erase(job_uid);
  state->jobs.erase(job_uid);
}

void RebuildIndexes(State* state) {
  State loaded = std::move(*state);
  *state = State();
  state->sequence = loaded.sequence;
  state->old_names = std::move(loaded.old_names);
  Touched ignored;
  StateRows rows(state, &ignored);
  rows.PutServer(loaded.server);
  for (auto& [key, setting] : loaded.settings) rows.PutSetting(std::move(setting));
  for (auto& [key, ledger] : loaded.ledger) rows.PutLedger(std::move(ledger));
  for (auto& [name, project] : loaded.projects) rows.PutProject(project);
  for (auto& [name, tier] : loaded.tiers) rows.PutTier(tier);
  for (auto& [id, token] : loaded.tokens) rows.PutToken(std::move(token));
  for (auto& [id, agent] : loaded.agents) rows.PutAgent(std::move(agent));
  for (auto& [uid, job] : loaded.jobs) rows.PutJob(std::move(job));
  state->specs = std::move(loaded.specs);
  for (auto& [uid, study] : loaded.studies) rows.PutStudy(std::move(study));
  for (const auto& [uid, run] : loaded.runs) rows.PutRun(run);
  for (const auto& [key, trial] : loaded.trials) rows.PutTrial(trial.row());
  std::vector<RequestPtr> requests;
  for (const auto& [key, request] : loaded.requests) requests.push_back(RequestRowOf(loaded, key));
  std::sort(requests.begin(), requests.end(), [](const auto& a, const auto& b) {
    return std::make_pair(a->time_us(), a->key()) < std::make_pair(b->time_us(), b->key());
  });
  for (const RequestPtr& request : requests) rows.PutRequest(*request);
}

}  // namespace trainyard::core
