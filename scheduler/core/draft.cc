// See draft.h.
#include "scheduler/core/draft.h"

#include <algorithm>
#include <utility>

#include "scheduler/core/capacity.h"
#include "scheduler/core/fold.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::core {
namespace {

// The drafted row, else the state's, else null.
template <class Drafted, class Base, class Key>
auto Look(const Drafted& drafted, const Base& base, const Key& key) -> typename Base::mapped_type {
  if (const auto it = drafted.find(key); it != drafted.end()) return it->second;
  if (const auto it = base.find(key); it != base.end()) return it->second;
  return nullptr;
}

}  // namespace

Draft::Draft(const State& state, const Command& command)
    : state_(state),
      command_(command),
      now_us_(std::max(command.now_us, state.server.last_us())),
      next_uid_(std::max<uint64_t>(state.server.next_uid(), 1)) {}

void Draft::Emit(records::Event event) {
  EmitUnread(std::move(event));
  Fold(events_.back(), this);
}

void Draft::EmitUnread(records::Event event) {
  event.set_time_us(now_us_);
  event.set_principal(principal().name);
  if (!command_.request_id.empty()) event.set_request_id(command_.request_id);
  events_.push_back(std::move(event));
}

uint64_t Draft::NextUid() { return next_uid_++; }

std::vector<int32_t> Draft::OpenTrials(uint64_t study_uid) const {
  const StudyPtr study = Study(study_uid);
  std::set<int32_t> ids;
  for (auto it = state_.open_trials.lower_bound({study_uid, 0});
       it != state_.open_trials.end() && it->first == study_uid; ++it) {
    ids.insert(it->second);
  }
  for (auto it = trials_.lower_bound({study_uid, 0});
       it != trials_.end() && it->first.first == study_uid; ++it) {
    ids.insert(it->first.second);
  }
  std::vector<int32_t> open;
  for (const int32_t id : ids) {
    if (IsOpen(*Trial({study_uid, id}), study.get())) open.push_back(id);
  }
  return open;
}

const NodeUse& Draft::UseOf(const std::string& node_id) const {
  static const NodeUse* const kNothing = new NodeUse;
  if (const auto it = use_.find(node_id); it != use_.end()) return it->second;
  const auto it = state_.node_use.find(node_id);
  return it == state_.node_use.end() ? *kNothing : it->second;
}

NodeUse* Draft::EditUse(const std::string& node_id) {
  return &use_.try_emplace(node_id, UseOf(node_id)).first->second;
}

std::set<uint64_t> Draft::RunsOn(const std::string& node_id) const {
  std::set<uint64_t> candidates;
  if (const auto it = state_.runs_by_node.find(node_id); it != state_.runs_by_node.end()) {
    candidates = it->second;
  }
  for (const auto& [uid, run] : runs_) {
    bool here = false;
    ForEachHold(*run,
                [&](const records::MemberRow& member) { here |= member.node_id() == node_id; });
    if (here) {
      candidates.insert(uid);
    } else {
      candidates.erase(uid);
    }
  }
  return candidates;
}

const records::ServerRow& Draft::Server() const {
  return server_.has_value() ? *server_ : state_.server;
}
JobPtr Draft::Job(uint64_t uid) const { return Look(jobs_, state_.jobs, uid); }
SpecPtr Draft::Spec(uint64_t job_uid) const { return Look(specs_, state_.specs, job_uid); }
RunPtr Draft::Run(uint64_t uid) const { return Look(runs_, state_.runs, uid); }
StudyPtr Draft::Study(uint64_t uid) const { return Look(studies_, state_.studies, uid); }
TrialPtr Draft::Trial(TrialKey key) const {
  if (const auto it = trials_.find(key); it != trials_.end()) return it->second;
  const auto it = state_.trials.find(key);
  return it == state_.trials.end() ? nullptr : it->second.row();
}
AgentPtr Draft::Agent(const std::string& node_id) const {
  return Look(agents_, state_.agents, node_id);
}
TokenPtr Draft::Token(const std::string& id) const { return Look(tokens_, state_.tokens, id); }

// Settings and the ledger are read as they were before the command.
SettingPtr Draft::Setting(const std::string& key) const {
  const auto found = state_.settings.find(key);
  return found == state_.settings.end() ? nullptr : found->second;
}
LedgerPtr Draft::Ledger(const std::string& key) const {
  const auto found = state_.ledger.find(key);
  return found == state_.ledger.end() ? nullptr : found->second;
}

void Draft::PutServer(const records::ServerRow& row) { server_ = row; }
void Draft::PutJob(JobPtr row) { jobs_[row->uid()] = std::move(row); }
void Draft::PutSpec(uint64_t job_uid, const v1::JobSpec& spec) {
  specs_[job_uid] = std::make_shared<const v1::JobSpec>(spec);
}
void Draft::PutRun(RunPtr row) {
  const RunPtr old = Run(row->uid());
  if (old == nullptr || !SameHolds(*old, *row)) {
    if (old != nullptr) {
      ForEachHold(*old, [this](const records::MemberRow& member) {
        CountHold(member, -1, EditUse(member.node_id()));
      });
    }
    ForEachHold(*row, [this](const records::MemberRow& member) {
      CountHold(member, +1, EditUse(member.node_id()));
    });
  }
  runs_[row->uid()] = std::move(row);
}
void Draft::PutStudy(StudyPtr row) { studies_[row->uid()] = std::move(row); }
void Draft::PutTrial(TrialPtr row) { trials_[{row->study_uid(), row->id()}] = std::move(row); }
void Draft::PutAgent(AgentPtr row) { agents_[row->node_id()] = std::move(row); }
void Draft::PutToken(TokenPtr row) { tokens_[row->id()] = std::move(row); }

}  // namespace trainyard::core
