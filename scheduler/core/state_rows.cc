// See state_rows.h.
#include "scheduler/core/state_rows.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/sha256.h"
#include "scheduler/core/capacity.h"
#include "scheduler/core/deadline.h"

namespace trainyard::core {
namespace {

constexpr size_t kShortKeyBytes = 15;

template <class Map, class Key>
auto Find(const Map& map, const Key& key) -> typename Map::mapped_type {
  const auto it = map.find(key);
  return it == map.end() ? typename Map::mapped_type() : it->second;
}

template <class Set, class Value>
void Keep(bool wanted, const Value& value, Set* set) {
  if (wanted) {
    set->insert(value);
  } else {
    set->erase(value);
  }
}

}  // namespace

JobPtr StateRows::Job(uint64_t uid) const { return Find(state_->jobs, uid); }
SpecPtr StateRows::Spec(uint64_t job_uid) const { return Find(state_->specs, job_uid); }
RunPtr StateRows::Run(uint64_t uid) const { return Find(state_->runs, uid); }
StudyPtr StateRows::Study(uint64_t uid) const { return Find(state_->studies, uid); }
TrialPtr StateRows::Trial(TrialKey key) const { return Find(state_->trials, key).row(); }
AgentPtr StateRows::Agent(const std::string& node_id) const {
  return Find(state_->agents, node_id);
}
TokenPtr StateRows::Token(const std::string& id) const { return Find(state_->tokens, id); }

std::vector<int32_t> StateRows::OpenTrials(uint64_t study_uid) const {
  std::vector<int32_t> open;
  for (auto it = state_->open_trials.lower_bound({study_uid, 0});
       it != state_->open_trials.end() && it->first == study_uid; ++it) {
    open.push_back(it->second);
  }
  return open;
}

void StateRows::PutServer(const records::ServerRow& row) {
  const bool restarted = row.start_us() != state_->server.start_us();
  state_->server = row;
  touched_->server = true;
  if (!restarted) return;
  for (const uint64_t uid : state_->active_runs) IndexDeadline(*state_->runs.at(uid));
}

void StateRows::PutJob(JobPtr row) {
  touched_->jobs.insert(row->uid());
  JobPtr& slot = state_->jobs[row->uid()];
  if (slot == nullptr) {
    state_->job_by_name[NameKey(row->project(), row->job_id())] = row->uid();
  }
  const JobPtr old = std::exchange(slot, std::move(row));
  IndexQueue(old.get(), *slot);
}

void StateRows::PutSpec(uint64_t job_uid, const v1::JobSpec& spec) {
  const std::string digest = Sha256Of(spec.SerializeAsString());
  State::SharedSpec& shared = state_->shared_specs[static_cast<uint8_t>(digest[0])];
  // Maps inside a spec may serialize in another order: then equal specs are merely not shared.
  if (shared.digest != digest) {
    shared.digest = digest;
    shared.spec = std::make_shared<const v1::JobSpec>(spec);
  }
  state_->specs[job_uid] = shared.spec;
}

void StateRows::PutRun(RunPtr row) {
  const uint64_t uid = row->uid();
  touched_->runs.insert(uid);
  const RunPtr old = Run(uid);
  IndexHolds(old.get(), row.get());
  Keep(row->state() == records::R_WAITING || row->state() == records::R_BACKING_OFF, uid,
       &state_->waiting_runs);
  Keep(row->state() == records::R_ACTIVE || HoldsAnything(*row), uid, &state_->active_runs);
  IndexDeadline(*row);
  state_->runs.Put(std::move(row));
}

void StateRows::EraseRun(uint64_t uid) {
  const RunPtr run = Run(uid);
  if (run == nullptr) return;
  IndexHolds(run.get(), nullptr);
  DropDeadline(uid);
  state_->waiting_runs.erase(uid);
  state_->active_runs.erase(uid);
  state_->runs.erase(uid);
}

void StateRows::IndexHolds(const records::RunRow* old, const records::RunRow* now) {
  if (old != nullptr && now != nullptr && SameHolds(*old, *now)) return;
  const auto count = [this](const records::RunRow& run, int sign) {
    ForEachHold(run, [&](const records::MemberRow& member) {
      NodeUse& use = state_->node_use[member.node_id()];
      CountHold(member, sign, &use);
      if (use.members == 0) state_->node_use.erase(member.node_id());
      std::set<uint64_t>& runs = state_->runs_by_node[member.node_id()];
      Keep(sign > 0, run.uid(), &runs);
      if (runs.empty()) state_->runs_by_node.erase(member.node_id());
    });
  };
  if (old != nullptr) count(*old, -1);
  if (now != nullptr) count(*now, +1);
}

void StateRows::DropDeadline(uint64_t run_uid) {
  const auto it = state_->deadline_of_run.find(run_uid);
  if (it == state_->deadline_of_run.end()) return;
  state_->deadlines.erase({it->second, run_uid});
  state_->deadline_of_run.erase(it);
}

void StateRows::IndexDeadline(const records::RunRow& run) {
  const Deadline deadline = DeadlineOf(*this, run);
  const auto it = state_->deadline_of_run.find(run.uid());
  if (it != state_->deadline_of_run.end() && it->second == deadline.time_us) return;
  DropDeadline(run.uid());
  if (deadline.time_us == kNever) return;
  state_->deadlines.insert({deadline.time_us, run.uid()});
  state_->deadline_of_run[run.uid()] = deadline.time_us;
}

void StateRows::PutStudy(StudyPtr row) {
  const uint64_t uid = row->uid();
  touched_->studies.insert(uid);
  const bool active = row->state() == v1::Study::ACTIVE_STUDY;
  StudyPtr& slot = state_->studies[uid];
  const ShortId key = NameKey(row->project(), row->study_id());
  if (slot == nullptr) state_->study_by_name[key] = uid;
  if (row->deleted() && Find(state_->study_by_name, key) == uid) state_->study_by_name.erase(key);
  const bool ended = slot != nullptr && slot->state() == v1::Study::ACTIVE_STUDY && !active;
  slot = std::move(row);
  Keep(active, uid, &state_->live_studies);
  Keep(SuggestionsWanted(*slot) > 0, uid, &state_->hungry_studies);
  if (!ended) return;
  auto it = state_->open_trials.lower_bound({uid, 0});
  while (it != state_->open_trials.end() && it->first == uid) {
    const bool open = IsOpen(*state_->trials.at(*it).row(), slot.get());
    it = open ? std::next(it) : state_->open_trials.erase(it);
  }
  state_->requested_trials.erase(state_->requested_trials.lower_bound({uid, 0}),
                                 state_->requested_trials.lower_bound({uid + 1, 0}));
}

void StateRows::PutTrial(TrialPtr row) {
  const TrialKey key(row->study_uid(), row->id());
  touched_->trials.insert(key);
  const bool open = IsOpen(*row, Study(key.first).get());
  Keep(open, key, &state_->open_trials);
  Keep(open && row->state() == v1::REQUESTED, key, &state_->requested_trials);
  KeptTrial& slot = state_->trials[key];
  IndexClient(slot.row().get(), *row);
  slot = std::move(row);
}

// One that has ended is in no index.
void StateRows::PutKept(TrialKey key, KeptTrial trial) {
  if (trial.has_ended()) {
    state_->trials[key] = std::move(trial);
  } else {
    PutTrial(trial.row());
  }
}

void StateRows::IndexClient(const records::TrialRow* old, const records::TrialRow& now) {
  const bool had = old != nullptr && IsWithClient(*old);
  const bool has = IsWithClient(now);
  if (had && (!has || old->client_id() != now.client_id())) {
    const auto it = state_->trials_of_client.find({now.study_uid(), old->client_id()});
    if (it != state_->trials_of_client.end()) {
      it->second.erase(now.id());
      if (it->second.empty()) state_->trials_of_client.erase(it);
    }
  }
  if (has) state_->trials_of_client[{now.study_uid(), now.client_id()}].insert(now.id());
}

void StateRows::PutAgent(AgentPtr row) {
  touched_->agents.insert(row->node_id());
  SetClusterDeadline(absl::StrCat("nodes/", row->node_id()), DueOfNode(*row));
  state_->agents[row->node_id()] = std::move(row);
}

void StateRows::PutToken(TokenPtr row) {
  touched_->tokens.insert(row->id());
  TokenPtr& slot = state_->tokens[row->id()];
  if (slot != nullptr && slot->hash() != row->hash()) state_->token_by_hash.erase(slot->hash());
  state_->token_by_hash[row->hash()] = row->id();
  slot = std::move(row);
}

void StateRows::PutTier(const v1::ScaleTier& tier) {
  touched_->settings = true;
  state_->tiers[tier.name()] = tier;
}

void StateRows::PutProject(const records::ProjectRow& project) {
  touched_->settings = true;
  state_->projects[project.project_id()] = project;
}

void StateRows::PutRequest(const records::RequestRow& request) {
  const ShortId key = KeyOfBytes(request.key());
  touched_->requests.insert(key);
  state_->requests[key] = {ShortHash(request.body_hash()), request.time_us(), request.uid()};
  if (request.result().empty() && request.trials().empty()) {
    state_->long_requests.erase(key);
  } else {
    state_->long_requests[key] = std::make_shared<const records::RequestRow>(request);
  }
  state_->request_times.emplace_back(request.time_us(), key);
}

void StateRows::PruneRequests(int64_t now_us) {
  for (int i = 0; i < 4 && !state_->request_times.empty(); ++i) {
    const auto& [time_us, key] = state_->request_times.front();
    if (time_us >= now_us - kRequestKeepUs) return;
    const auto it = state_->requests.find(key);
    if (it != state_->requests.end() && it->second.time_us == time_us) {
      touched_->requests.insert(key);
      state_->requests.erase(it);
      state_->long_requests.erase(key);
    }
    state_->request_times.pop_front();
  }
}

namespace {

// Trials requested beyond those that run. Samplers that learn nothing from results work ahead. The
// others have one ready, so that a free place does not wait for them, where many trials run: there
// each is suggested without the results of most others anyway. Members of a population go on from
// the trial that ended last.
int64_t AheadOf(const v1::StudySpec& spec, int64_t parallel) {
  constexpr int64_t kMany = 4;
  switch (spec.algorithm()) {
    case v1::StudySpec::RANDOM:
    case v1::StudySpec::SOBOL:
    case v1::StudySpec::GRID:
      return parallel;
    case v1::StudySpec::PBT:
      return 0;
    default:
      return parallel >= kMany ? 1 : 0;
  }
}

}  // namespace

int SuggestionsWanted(const records::StudyRow& study) {
  if (study.state() != v1::Study::ACTIVE_STUDY || study.exhausted() || study.job_uid() == 0) {
    return 0;  // ask/tell studies get suggestions when somebody asks
  }
  const int64_t parallel = std::max<int64_t>(study.parallel_trials(), 1);
  const int64_t running = study.counts().active() + study.counts().stopping();
  const int64_t target = std::max(parallel - running, AheadOf(study.spec(), parallel));
  // Held trials begin nothing.
  int64_t wanted = target - (study.counts().requested() - study.counts().held());
  if (study.max_trials() > 0) {
    wanted = std::min(wanted, study.max_trials() - (std::max(study.next_trial(), 1) - 1));
  }
  return static_cast<int>(std::clamp<int64_t>(wanted, 0, 1000));
}

bool IsOpen(const records::TrialRow& trial, const records::StudyRow* study) {
  if (IsTerminal(trial.state())) return false;
  if (trial.state() != v1::REQUESTED) return true;
  return study != nullptr && study->state() == v1::Study::ACTIVE_STUDY;
}

bool IsWithClient(const records::TrialRow& trial) {
  return !IsTerminal(trial.state()) && trial.state() != v1::REQUESTED && trial.run_uid() == 0;
}

bool IsTerminal(v1::JobState state) {
  return state == v1::SUCCEEDED || state == v1::FAILED || state == v1::CANCELLED ||
         state == v1::EXPIRED;
}
bool IsTerminal(records::AttemptState state) { return state >= records::A_SUCCEEDED; }
bool IsTerminal(v1::TrialState state) {
  return state == v1::TRIAL_SUCCEEDED || state == v1::INFEASIBLE;
}

ShortId ShortKey(absl::string_view text) { return KeyOfBytes(Sha256Of(text)); }

std::string KeyBytes(const ShortId& key) {
  std::string bytes(kShortKeyBytes, '\0');
  std::memcpy(bytes.data(), &key.first, 8);
  std::memcpy(bytes.data() + 8, &key.second, kShortKeyBytes - 8);
  return bytes;
}

ShortId KeyOfBytes(absl::string_view bytes) {
  char padded[16] = {};
  bytes.copy(padded, kShortKeyBytes);
  ShortId key;
  std::memcpy(&key.first, padded, 8);
  std::memcpy(&key.second, padded + 8, 8);
  return key;
}

ShortId NameKey(absl::string_view project, absl::string_view name) {
  return ShortKey(absl::StrCat(project, "/", name));
}

uint64_t ShortHash(absl::string_view body_hash) {
  char padded[8] = {};
  body_hash.copy(padded, sizeof(padded));
  uint64_t hash = 0;
  std::memcpy(&hash, padded, sizeof(padded));
  return hash;
}

RequestPtr RequestRowOf(const State& state, const ShortId& key) {
  if (const auto whole = state.long_requests.find(key); whole != state.long_requests.end()) {
    return whole->second;
  }
  const auto found = state.requests.find(key);
  if (found == state.requests.end()) return nullptr;
  auto row = std::make_shared<records::RequestRow>();
  row->set_key(KeyBytes(key));
  row->set_body_hash(&found->second.body_hash, sizeof(found->second.body_hash));
  row->set_time_us(found->second.time_us);
  row->set_uid(found->second.uid);
  return row;
}

uint64_t NameHash(absl::string_view project_and_name) {
  const std::string digest = Sha256Of(project_and_name);
  uint64_t hash = 0;
  for (int i = 0; i < 8; ++i) hash = hash << 8 | static_cast<uint8_t>(digest[i]);
  return hash;
}

}  // namespace trainyard::core
