// See checker.h.
#include "sim/run/checker.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "scheduler/core/invariants.h"
#include "scheduler/core/state_rows.h"
#include "scheduler/runtime/rows.h"
#include "sim/run/users.h"

namespace trainyard::sim {
namespace {

constexpr uint64_t kWholeLook = 64;  // among looks at the invariants

using journal::v1::Event;

std::string Name(const worker::MemberId& id) { return worker::FolderName(id); }

template <class Map>
auto Look(const Map& map, const typename Map::key_type& key) -> typename Map::mapped_type {
  const auto found = map.find(key);
  return found == map.end() ? nullptr : found->second;
}

// The first row that differs, both ways, for people.
template <class Map>
void Compare(absl::string_view kind, const Map& expected, const Map& found, std::string* out) {
  for (const auto& [key, row] : expected) {
    const auto other = Look(found, key);
    const std::string have = other == nullptr ? "nothing" : other->ShortDebugString();
    if (have != row->ShortDebugString()) {
      absl::StrAppend(out, kind, " ", row->ShortDebugString(), " became ", have, "; ");
      return;
    }
  }
  for (const auto& [key, row] : found) {
    if (Look(expected, key) != nullptr) continue;
    absl::StrAppend(out, kind, " ", row->ShortDebugString(), " is new; ");
    return;
  }
}

std::string Difference(const core::State& expected, const core::State& found) {
  std::string out;
  Compare("job", expected.jobs, found.jobs, &out);
  Compare("run", expected.runs, found.runs, &out);
  Compare("study", expected.studies, found.studies, &out);
  Compare("trial", expected.trials, found.trials, &out);
  Compare("agent", expected.agents, found.agents, &out);
  Compare("spec", expected.specs, found.specs, &out);
  absl::StrAppend(&out, expected.requests.size(), " and ", found.requests.size(), " requests, ",
                  expected.server.ShortDebugString(), " and ", found.server.ShortDebugString());
  return out.substr(0, 3000);
}

bool Prepared(const journal::v1::AttemptRow& attempt) {
  return std::all_of(attempt.members().begin(), attempt.members().end(), [](const auto& member) {
    return member.prepared() || member.running() || member.exited();
  });
}

}  // namespace

void Checker::Durable(const std::vector<std::string>& records) {
  core::Touched touched;
  for (const std::string& record : records) {
    const absl::StatusOr<Event> event = journal::DecodeEvent(record);
    if (!event.ok()) return context_->Violate(absl::StrCat("a record: ", event.status().message()));
    if (event->sequence() != state_.sequence + 1) {
      return context_->Violate(
          absl::StrCat("event ", event->sequence(), " was appended after ", state_.sequence));
    }
    CheckEvent(*event);
    core::Apply(*event, &state_, &touched);
    context_->queue().Mix(event->sequence() * 64 + static_cast<uint64_t>(event->body_case()));
  }
  if (!records.empty()) CheckInvariants();
}

void Checker::CheckEvent(const Event& event) {
  switch (event.body_case()) {
    case Event::kServerStarted:
      if (event.server_started().incarnation() <= incarnation_) {
        context_->Violate(absl::StrCat("incarnation ", event.server_started().incarnation(),
                                       " was given before; the last one was ", incarnation_));
      }
      incarnation_ = event.server_started().incarnation();
      return;
    case Event::kJobCreated:
      ++submits_;
      return;
    case Event::kRunPlaced:
      context_->Note("placed", -1, event.run_placed().run_uid(), event.run_placed().epoch());
      if (!epochs_.insert(event.run_placed().epoch()).second) {
        context_->Violate(absl::StrCat("epoch ", event.run_placed().epoch(), " was given twice"));
      }
      return;
    case Event::kAttemptEnded:
      context_->Note("attempt ended", -1, event.attempt_ended().run_uid(),
                     event.attempt_ended().epoch());
      return CheckPublication(event.attempt_ended());
    default:
      return;
  }
}

void Checker::CheckPublication(const journal::v1::AttemptEnded& ended) {
  const core::RunPtr run = Look(state_.runs, ended.run_uid());
  if (run == nullptr || run->attempt().epoch() != ended.epoch()) {
    return context_->Violate(absl::StrCat("run ", ended.run_uid(), " ended by epoch ",
                                          ended.epoch(), ", which is not its current one"));
  }
  for (const v1::OutputTree& output : ended.outputs()) {
    const std::string own = absl::StrCat(ended.run_uid(), "-", ended.epoch(), "-");
    if (!absl::StartsWith(output.digest(), own)) {
      context_->Violate(absl::StrCat("run ", ended.run_uid(), " epoch ", ended.epoch(),
                                     " published what ", output.digest(), " had made"));
    }
  }
  if (ended.state() != journal::v1::A_SUCCEEDED) return;
  ++publications_;
  std::set<uint64_t>& epochs = published_[ended.run_uid()];
  epochs.insert(ended.epoch());
  if (epochs.size() > 1) {
    context_->Violate(absl::StrCat("run ", ended.run_uid(), " was published by two epochs"));
  }
}

void Checker::CheckInvariants() {
  // Rows of ended trials are unpacked now and then only: they no longer change.
  const bool whole = ++looks_ % kWholeLook == 0;
  std::vector<std::string> broken =
      whole ? core::CheckInvariants(state_) : core::CheckOpenInvariants(state_);
  if (!broken.empty() && forgotten_ != nullptr) {
    core::State known = state_;
    for (const uint64_t uid : forgotten_()) core::Forget(uid, &known);
    broken = core::CheckInvariants(known);
  }
  if (!broken.empty()) context_->Violate(absl::StrCat("invariant: ", broken.front()));
}

void Checker::Recovered(const core::State& state, const std::vector<std::string>& first,
                        journal::Journal* journal) {
  ++recoveries_;
  core::State expected = state_;
  core::Touched touched;
  for (const std::string& record : first) {
    const absl::StatusOr<Event> event = journal::DecodeEvent(record);
    if (event.ok()) core::Apply(*event, &expected, &touched);
  }
  if (core::StateHash(state) != core::StateHash(expected)) {
    context_->Violate(absl::StrCat("recovery gave another state than the events up to ",
                                   state_.sequence, " do: ", Difference(expected, state)));
  }
  CheckPromises(state, journal);
}

void Checker::CheckPromises(const core::State& state, journal::Journal* journal) {
  for (const auto& [request_id, uid] : promises_.jobs) {
    if (state.jobs.contains(uid)) continue;
    if (!journal->ReadRow("old_job", runtime::FallingUidKey(uid)).ok()) {
      return context_->Violate(
          absl::StrCat("job ", uid, " was acknowledged (", request_id, ") and is lost"));
    }
  }
  for (const uint64_t uid : promises_.cancelled) {
    if (!Cancelled(state, uid)) {
      return context_->Violate(absl::StrCat("the acknowledged cancel of job ", uid, " is lost"));
    }
  }
  for (const auto& key : promises_.completed) {
    const core::TrialPtr trial = Look(state.trials, key).row();
    if (trial == nullptr || trial->state() == v1::ACTIVE || trial->state() == v1::REQUESTED) {
      return context_->Violate(
          absl::StrCat("the acknowledged end of trial ", key.first, "/", key.second, " is lost"));
    }
  }
}

bool Checker::Cancelled(const core::State& state, uint64_t job_uid) const {
  const core::JobPtr job = Look(state.jobs, job_uid);
  return job == nullptr || job->cancel_requested() || core::IsTerminal(job->state());
}

void Checker::Archived(const std::vector<uint64_t>& job_uids) {
  for (const uint64_t uid : job_uids) {
    core::Forget(uid, &state_);
    archived_.insert(uid);
  }
}

void Checker::Restored() {
  state_ = backup_.state;
  promises_ = backup_.promises;
  archived_ = backup_.archived;
  published_.clear();
  launched_.clear();  // what the backup does not know of may be asked for again
  for (const uint64_t epoch : epochs_) before_restore_ = std::max(before_restore_, epoch);
}

void Checker::Answered(uint64_t sequence, const core::CommandBody& body) {
  const std::string name(NameOf(body));
  ++answers_[name];
  if (state_.sequence >= sequence) return;
  context_->Violate(absl::StrCat(name, " was answered when events up to ", state_.sequence,
                                 " were durable; it was decided at ", sequence));
}

void Checker::SubmitAnswered(const std::string& request_id, uint64_t job_uid) {
  if (!state_.jobs.contains(job_uid) && !archived_.contains(job_uid)) {
    return context_->Violate(
        absl::StrCat("job ", job_uid, " was acknowledged before it was durable"));
  }
  const auto [known, is_new] = promises_.jobs.try_emplace(request_id, job_uid);
  if (!is_new && known->second != job_uid) {
    context_->Violate(
        absl::StrCat("request ", request_id, " made job ", known->second, " and job ", job_uid));
  }
}

void Checker::CancelAnswered(uint64_t job_uid) {
  if (!Cancelled(state_, job_uid)) {
    return context_->Violate(
        absl::StrCat("the cancel of job ", job_uid, " was acknowledged before it was durable"));
  }
  if (state_.jobs.contains(job_uid)) promises_.cancelled.insert(job_uid);
}

void Checker::CompleteAnswered(uint64_t study_uid, int32_t trial) {
  const core::TrialPtr row = Look(state_.trials, {study_uid, trial}).row();
  const bool open = row == nullptr || row->state() == v1::ACTIVE || row->state() == v1::REQUESTED;
  if (open) {
    return context_->Violate(absl::StrCat("the end of trial ", study_uid, "/", trial,
                                          " was acknowledged before it was durable"));
  }
  promises_.completed.insert({study_uid, trial});
}

void Checker::Launched(int node, const agent::v1::Assignment& assignment) {
  const worker::MemberId id = worker::IdOf(assignment.key());
  context_->Note("launched", node, id.run_uid, id.epoch);
  if (!launched_.insert(id).second) {
    context_->Violate(absl::StrCat("member ", Name(id), " was started twice"));
  }
  if (!epochs_.contains(id.epoch)) {
    context_->Violate(absl::StrCat("member ", Name(id), " started before its place was durable"));
  }
  for (const agent::v1::RankSlot& rank : assignment.ranks()) {
    for (const std::string& uuid : rank.device_uuids()) {
      const auto [held, is_new] = devices_.try_emplace({node, uuid}, id);
      if (!is_new && held->second != id) {
        context_->Violate(
            absl::StrCat("device ", uuid, " serves ", Name(held->second), " and ", Name(id)));
      }
    }
  }
  std::map<worker::MemberId, bool>& live = live_[id.run_uid];
  if (live.contains(id)) context_->Violate(absl::StrCat("member ", Name(id), " lives twice"));
  for (const auto& [other, strict] : live) {
    const bool known = std::min(other.epoch, id.epoch) > before_restore_;
    if (strict && other.epoch != id.epoch && known) {
      context_->Violate(absl::StrCat("strict run ", id.run_uid, " computes twice: ", Name(other),
                                     " lives while ", Name(id), " starts"));
    }
  }
  live[id] = assignment.strict_lease();
  const core::RunPtr run = Look(state_.runs, id.run_uid);
  if (run == nullptr || run->attempt().epoch() != id.epoch) return;
  if (run->attempt().members_size() > 1 && !Prepared(run->attempt())) {
    context_->Violate(absl::StrCat("member ", Name(id), " started before its gang was prepared"));
  }
}

void Checker::RanksGone(int node, const agent::v1::Assignment& assignment) {
  const worker::MemberId id = worker::IdOf(assignment.key());
  context_->Note("ranks gone", node, id.run_uid, id.epoch);
  for (const agent::v1::RankSlot& rank : assignment.ranks()) {
    for (const std::string& uuid : rank.device_uuids()) {
      const auto held = devices_.find({node, uuid});
      if (held != devices_.end() && held->second == id) devices_.erase(held);
    }
  }
  const auto live = live_.find(id.run_uid);
  if (live == live_.end()) return;
  live->second.erase(id);
  if (live->second.empty()) live_.erase(live);
}

void Checker::Finished(const core::State& engine_state) {
  for (const auto& [uid, job] : engine_state.jobs) {
    if (core::IsTerminal(job->state())) continue;
    std::string message = absl::StrCat("job ", uid, " never ended: ", job->ShortDebugString());
    if (const core::RunPtr run = Look(engine_state.runs, job->run_uid()); run != nullptr) {
      absl::StrAppend(&message, " run: ", run->ShortDebugString());
    }
    if (const core::SpecPtr spec = Look(engine_state.specs, uid); spec != nullptr) {
      absl::StrAppend(&message, " spec: ", spec->ShortDebugString());
    }
    if (const core::StudyPtr study = Look(engine_state.studies, job->study_uid());
        study != nullptr) {
      absl::StrAppend(&message, " study: ", study->counts().ShortDebugString());
    }
    return context_->Violate(message.substr(0, 2000));
  }
  for (const auto& [uid, live] : live_) {
    return context_->Violate(absl::StrCat("ranks are left over: ", Name(live.begin()->first)));
  }
  for (const auto& [node, use] : engine_state.node_use) {
    std::string message = absl::StrCat("node ", node, " is never free again:");
    for (const uint64_t uid : engine_state.runs_by_node.at(node)) {
      absl::StrAppend(&message, " ", engine_state.runs.at(uid)->ShortDebugString());
    }
    return context_->Violate(message.substr(0, 4000));
  }
  for (const auto& [id, agent] : engine_state.agents) {
    if (agent->stale_size() > 0 || !agent->connected()) {
      return context_->Violate(
          absl::StrCat("node ", id, " is never whole again: ", agent->ShortDebugString()));
    }
  }
}

}  // namespace trainyard::sim
