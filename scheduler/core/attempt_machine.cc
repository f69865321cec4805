// See attempt_machine.h.
#include "scheduler/core/attempt_machine.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "scheduler/core/agent_machine.h"
#include "scheduler/core/core.h"
#include "scheduler/core/fold.h"
#include "scheduler/core/run_machine.h"
#include "scheduler/core/state_rows.h"
#include "scheduler/core/study_machine.h"
#include "scheduler/core/verdict.h"

namespace trainyard::core {
namespace {

// Whether folding the fact would change a row of the run.
bool IsNews(const wire::Fact& fact, const records::RunRow& run) {
  const wire::MemberKey& key = fact.key();
  if (run.attempt().epoch() != key.epoch()) {
    return fact.has_released() &&
           std::any_of(run.held().begin(), run.held().end(), [&](const records::HeldMember& held) {
             return held.epoch() == key.epoch() && held.member().member() == key.member();
           });
  }
  const records::MemberRow* member = MemberOf(run.attempt(), key.member());
  if (member == nullptr) return false;
  const bool over = IsTerminal(run.attempt().state());
  switch (fact.body_case()) {
    case wire::Fact::kPrepared:
      return !over && !member->prepared() && !member->exited();
    case wire::Fact::kRunning:
      return !over && !member->running() && !member->exited();
    case wire::Fact::kExited:
      return !over && !member->exited();
    case wire::Fact::kReleased:
      return !member->released();
    case wire::Fact::kCheckpointPart:
      return !over && !member->exited() &&
             (run.checkpoint().epoch() != key.epoch() ||
              fact.checkpoint_part().step() > run.checkpoint().step());
    case wire::Fact::kInventoryChanged:
    case wire::Fact::BODY_NOT_SET:
      return false;
  }
  return false;
}

bool IsStale(const records::AgentRow& agent, const wire::MemberKey& key) {
  return std::any_of(agent.stale().begin(), agent.stale().end(), [&](const auto& stale) {
    return stale.run_uid() == key.run_uid() && stale.epoch() == key.epoch() &&
           stale.member() == key.member();
  });
}

void EmitFact(const AgentFact& command, Draft* draft) {
  records::Event event;
  event.mutable_member_fact()->set_node_id(command.node_id);
  *event.mutable_member_fact()->mutable_fact() = command.fact;
  draft->Emit(std::move(event));
}

void CommitCheckpoint(const records::RunRow& run, int64_t step,
                      const google::protobuf::RepeatedPtrField<std::string>& trees, Draft* draft) {
  records::Event event;
  records::CheckpointCommitted* committed = event.mutable_checkpoint_committed();
  committed->set_run_uid(run.uid());
  committed->set_epoch(run.attempt().epoch());
  committed->set_step(step);
  *committed->mutable_trees() = trees;
  draft->Emit(std::move(event));
}

// A step is committed when the part of every member is durable.
void CommitParts(uint64_t run_uid, Draft* draft) {
  const RunPtr run = draft->Run(run_uid);
  const records::Checkpoint* newest = nullptr;
  for (const records::Checkpoint& part : run->pending_parts()) {
    const bool whole = std::all_of(part.trees().begin(), part.trees().end(),
                                   [](const std::string& tree) { return !tree.empty(); });
    if (whole && (newest == nullptr || part.step() > newest->step())) newest = &part;
  }
  if (newest != nullptr) CommitCheckpoint(*run, newest->step(), newest->trees(), draft);
}

// Programs without a manifest leave a snapshot of their checkpoint folder at their exit.
void CommitSnapshot(uint64_t run_uid, const wire::Exited& exited, Draft* draft) {
  const RunPtr run = draft->Run(run_uid);
  if (run->attempt().members_size() != 1) return;  // one member's folder is not the gang's state
  for (const v1::OutputTree& output : exited.outputs()) {
    if (output.kind() != "checkpoint" || output.digest().empty()) continue;
    const int64_t step = output.step() > 0 ? output.step() : exited.last_step();
    if (run->has_checkpoint() && step <= run->checkpoint().step()) {
      // Programs that tell no steps have the one they began with.
      const bool is_own = run->checkpoint().epoch() == run->attempt().epoch();
      if (is_own || step < run->checkpoint().step()) continue;
    }
    google::protobuf::RepeatedPtrField<std::string> trees;
    *trees.Add() = output.digest();
    CommitCheckpoint(*run, step, trees, draft);
    return;
  }
}

void EmitStarting(const records::RunRow& run, Draft* draft) {
  records::Event event;
  event.mutable_attempt_starting()->set_run_uid(run.uid());
  event.mutable_attempt_starting()->set_epoch(run.attempt().epoch());
  draft->Emit(std::move(event));
}

void EmitRunning(const records::RunRow& run, Draft* draft) {
  records::Event event;
  event.mutable_attempt_running()->set_run_uid(run.uid());
  event.mutable_attempt_running()->set_epoch(run.attempt().epoch());
  draft->Emit(std::move(event));
}

template <class Has>
bool AllMembers(const records::AttemptRow& attempt, Has&& has) {
  return std::all_of(attempt.members().begin(), attempt.members().end(), has);
}

// Moves an attempt that nobody stops towards RUNNING.
void MoveForward(uint64_t run_uid, Draft* draft) {
  RunPtr run = draft->Run(run_uid);
  const auto early = [](const records::AttemptRow& attempt) {
    return attempt.state() == records::A_LEASED || attempt.state() == records::A_PREPARING;
  };
  const bool prepared = AllMembers(run->attempt(), [](const records::MemberRow& member) {
    return member.prepared() || member.running();
  });
  if (early(run->attempt()) && run->attempt().members_size() > 1 && prepared) {
    EmitStarting(*run, draft);
    run = draft->Run(run_uid);
  }
  const bool running =
      AllMembers(run->attempt(), [](const records::MemberRow& member) { return member.running(); });
  const bool may_run = run->attempt().state() == records::A_STARTING ||
                       (early(run->attempt()) && run->attempt().members_size() == 1);
  if (running && may_run) EmitRunning(*run, draft);
}

v1::ExitRecord GoneRecord(const records::MemberRow& member, absl::string_view why) {
  v1::ExitRecord exit;
  exit.set_cause(v1::NODE_LOST);
  exit.set_rank(-1);
  exit.set_node(member.node_id());
  exit.set_message(absl::StrCat("node ", member.node_id(), " ", why));
  return exit;
}

// The first member that went without a word, as the failure of a gang.
bool FindGone(const Draft& draft, const records::AttemptRow& attempt, v1::ExitRecord* exit) {
  for (const records::MemberRow& member : attempt.members()) {
    if (member.exited() || !IsOver(draft, member)) continue;
    *exit =
        GoneRecord(member, member.released() ? "no longer has the job's processes" : "was lost");
    return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<bool> TakeFact(const AgentFact& command, Draft* draft) {
  const absl::Status allowed = CheckAccess(draft->principal(), Action::kAgent, "", command.node_id);
  if (!allowed.ok()) return allowed;
  const AgentPtr agent = draft->Agent(command.node_id);
  if (agent == nullptr) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat("node ", command.node_id, " has not joined"),
                     "let its agent connect first");
  }
  const wire::Fact& fact = command.fact;
  if (fact.has_released() && IsStale(*agent, fact.key())) {
    EmitFact(command, draft);
    return true;
  }
  if (fact.sequence() > 0 && fact.sequence() <= agent->last_fact()) return false;
  if (fact.has_inventory_changed()) {
    if (fact.inventory_changed().node_id() != command.node_id) return false;
    EmitFact(command, draft);
    return true;
  }
  const RunPtr run = draft->Run(fact.key().run_uid());
  if (run == nullptr || !IsNews(fact, *run)) return false;
  const records::MemberRow* member = MemberOf(run->attempt(), fact.key().member());
  const bool current = run->attempt().epoch() == fact.key().epoch();
  if (current && member->node_id() != command.node_id) return false;
  EmitFact(command, draft);
  if (!current) return true;
  if (fact.has_checkpoint_part()) CommitParts(run->uid(), draft);
  if (fact.has_exited()) CommitSnapshot(run->uid(), fact.exited(), draft);
  AdvanceAttempt(run->uid(), draft);
  return true;
}

void AdvanceAttempt(uint64_t run_uid, Draft* draft) {
  const RunPtr run = draft->Run(run_uid);
  if (run == nullptr || run->state() != records::R_ACTIVE || IsTerminal(run->attempt().state())) {
    return;
  }
  if (AllOver(*draft, run->attempt())) {
    EndAttempt(run_uid, draft);
    return;
  }
  if (run->attempt().stop_us() > 0) return;
  v1::ExitRecord gone;
  if (run->attempt().has_exit()) {
    StopAttempt(run_uid, wire::STOP_PEER_FAILED, nullptr, draft);
  } else if (FindGone(*draft, run->attempt(), &gone)) {
    StopAttempt(run_uid, wire::STOP_PEER_FAILED, &gone, draft);
  } else {
    MoveForward(run_uid, draft);
  }
}

void StopAttempt(uint64_t run_uid, wire::StopReason reason, const v1::ExitRecord* exit,
                 Draft* draft, absl::string_view why) {
  const RunPtr run = draft->Run(run_uid);
  if (run == nullptr || run->state() != records::R_ACTIVE) return;
  // A stop for good is also said to an attempt that stops for another reason: it must not return.
  const bool final = reason == wire::STOP_CANCEL || reason == wire::STOP_EARLY;
  if (run->attempt().stop_us() > 0 && (!final || run->cancel_requested())) return;
  records::Event event;
  records::AttemptStopRequested* stop = event.mutable_attempt_stop_requested();
  stop->set_run_uid(run_uid);
  stop->set_epoch(run->attempt().epoch());
  stop->set_reason(reason);
  if (exit != nullptr) *stop->mutable_exit() = *exit;
  stop->set_why(std::string(why));
  draft->Emit(std::move(event));
  AdvanceAttempt(run_uid, draft);
}

void PreemptRun(uint64_t run_uid, wire::StopReason reason, absl::string_view why, Draft* draft) {
  const RunPtr run = draft->Run(run_uid);
  if (run == nullptr || run->state() != records::R_ACTIVE || run->attempt().stop_us() > 0) return;
  records::Event event;
  records::AttemptStopRequested* stop = event.mutable_attempt_stop_requested();
  stop->set_run_uid(run_uid);
  stop->set_epoch(run->attempt().epoch());
  stop->set_reason(reason);
  stop->set_why(std::string(why));
  draft->Emit(std::move(event));
  AdvanceAttempt(run_uid, draft);
}

void EndSilentGang(const GangSilence& command, Draft* draft) {
  const RunPtr run = draft->Run(command.run_uid);
  if (run == nullptr || run->attempt().epoch() != command.epoch || !AwaitsLostNode(*run)) return;
  const auto is_silent = [&](const std::string& node_id) {
    return std::find(command.silent.begin(), command.silent.end(), node_id) != command.silent.end();
  };
  const bool all_over = AllMembers(run->attempt(), [&](const records::MemberRow& member) {
    return IsOver(*draft, member) || is_silent(member.node_id());
  });
  if (all_over) EndAttempt(command.run_uid, draft);
}

void EndAttempt(uint64_t run_uid, Draft* draft) {
  const RunPtr run = draft->Run(run_uid);
  if (run == nullptr || run->state() != records::R_ACTIVE) return;
  records::Event event;
  *event.mutable_attempt_ended() = Judge(*draft, *run, draft->now_us());
  PlanSettling(*run, draft, event.mutable_attempt_ended());
  const std::string blamed = event.attempt_ended().failed_node();
  draft->Emit(std::move(event));
  if (!blamed.empty()) ConsiderQuarantine(blamed, draft);
  const RunPtr now = draft->Run(run_uid);
  if (now->state() == records::R_DONE) RunIsDone(run_uid, draft);
  if (now->state() != records::R_PAUSED || now->trial() == 0) return;
  // A held trial leaves its place to another.
  const JobPtr job = draft->Job(now->job_uid());
  if (job != nullptr) AdvanceStudy(job->study_uid(), draft);
}

}  // namespace trainyard::core
