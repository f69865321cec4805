// See agent_machine.h.
#include "scheduler/core/agent_machine.h"

#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/names.h"
#include "scheduler/core/attempt_machine.h"
#include "scheduler/core/core.h"
#include "scheduler/core/settings.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::core {
namespace {

constexpr int kJobsToQuarantine = 3;

using Key = std::tuple<uint64_t, uint64_t, int32_t>;  // run, epoch, member

void AddKey(uint64_t run_uid, uint64_t epoch, int32_t member,
            google::protobuf::RepeatedPtrField<wire::MemberKey>* keys) {
  wire::MemberKey* key = keys->Add();
  key->set_run_uid(run_uid);
  key->set_epoch(epoch);
  key->set_member(member);
}

// Compares the agent's members with ours and sorts the differences.
void Reconcile(const AgentConnect& command, const Draft& draft,
               records::AgentConnected* connected) {
  std::set<Key> reported;
  std::set<Key> unknown;
  for (const wire::MemberReport& report : command.members) {
    const Key key(report.key().run_uid(), report.key().epoch(), report.key().member());
    reported.insert(key);
    // What has exited holds nothing any more; its Released is on the way.
    if (report.phase() != wire::EXITED_PHASE) unknown.insert(key);
  }
  for (const uint64_t uid : draft.RunsOn(command.node_id)) {
    const RunPtr run = draft.Run(uid);
    const records::AttemptRow& attempt = run->attempt();
    for (const records::MemberRow& member : attempt.members()) {
      if (member.released() || member.node_id() != command.node_id) continue;
      const Key key(uid, attempt.epoch(), member.member());
      unknown.erase(key);
      if (reported.count(key) > 0) continue;
      if (member.exited() || IsTerminal(attempt.state())) {
        AddKey(uid, attempt.epoch(), member.member(), connected->mutable_released());
      } else if (member.phase() != wire::MEMBER_PHASE_UNSPECIFIED) {
        AddKey(uid, attempt.epoch(), member.member(), connected->mutable_missing());
      }  // else the order never reached it: the desired state tells it again
    }
    for (const records::HeldMember& held : run->held()) {
      if (held.member().node_id() != command.node_id) continue;
      const Key key(uid, held.epoch(), held.member().member());
      unknown.erase(key);
      if (reported.count(key) == 0) {
        AddKey(uid, held.epoch(), held.member().member(), connected->mutable_released());
      }
    }
  }
  for (const auto& [run_uid, epoch, member] : unknown) {
    AddKey(run_uid, epoch, member, connected->mutable_stale());
  }
}

absl::Status UnknownNode(absl::string_view node_id, const State& state) {
  std::vector<std::string> names;
  for (const auto& [name, row] : state.agents) names.push_back(name);
  const std::string near = NearestName(node_id, names);
  return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                   absl::StrCat("there is no node ", node_id),
                   near.empty() ? "list the nodes to see their names"
                                : absl::StrCat("did you mean ", near, "?"));
}

absl::Status JoinRefused(absl::string_view why) {
  return MakeError(absl::StatusCode::kPermissionDenied, "JOIN_REFUSED",
                   absl::StrCat("the join token ", why),
                   "ask an administrator for a new join token");
}

}  // namespace

absl::StatusOr<Reply> Join(const AgentJoin& command, Draft* draft) {
  const State& state = draft->state();
  const auto id = state.token_by_hash.find(command.join_token_hash);
  const TokenPtr token = id == state.token_by_hash.end() ? nullptr : draft->Token(id->second);
  if (token == nullptr || !token->is_join() || token->revoked()) return JoinRefused("is unknown");
  if (token->used()) return JoinRefused("was used already");
  if (token->expire_us() > 0 && token->expire_us() <= draft->now_us()) {
    return JoinRefused("has expired");
  }
  const std::string node_id =
      token->node_id().empty() ? command.inventory.node_id() : token->node_id();
  if (absl::Status status = CheckId("node", node_id); !status.ok()) return status;
  const AgentPtr old = draft->Agent(node_id);
  if (old != nullptr && !old->token_hash().empty() && token->node_id().empty()) {
    return MakeError(absl::StatusCode::kAlreadyExists, "ALREADY_EXISTS",
                     absl::StrCat("there is already a node ", node_id),
                     "choose another --node_id, or ask for a join token of that node");
  }
  records::Event event;
  records::AgentJoined* joined = event.mutable_agent_joined();
  joined->set_node_id(node_id);
  joined->set_token_hash(command.agent_token_hash);
  joined->set_join_token_id(token->id());
  *joined->mutable_inventory() = command.inventory;
  joined->mutable_inventory()->set_node_id(node_id);
  draft->EmitUnread(std::move(event));
  Reply reply;
  reply.name = node_id;
  return reply;
}

absl::StatusOr<Reply> Connect(const AgentConnect& command, Draft* draft) {
  absl::Status status = CheckAccess(draft->principal(), Action::kAgent, "", command.node_id);
  if (!status.ok()) return status;
  records::Event event;
  records::AgentConnected* connected = event.mutable_agent_connected();
  connected->set_node_id(command.node_id);
  *connected->mutable_inventory() = command.inventory;
  connected->mutable_inventory()->set_node_id(command.node_id);
  connected->set_facts_restart(command.first_unacked_fact == 1);
  Reconcile(command, *draft, connected);
  const auto missing = connected->missing();
  const auto released = connected->released();
  draft->Emit(std::move(event));
  for (const wire::MemberKey& key : released) AdvanceAttempt(key.run_uid(), draft);
  Reply reply;
  reply.name = command.node_id;
  return reply;
}

absl::StatusOr<Reply> Lose(const AgentLoss& command, Draft* draft) {
  absl::Status status = CheckAccess(draft->principal(), Action::kAgent, "", command.node_id);
  if (!status.ok()) return status;
  const AgentPtr agent = draft->Agent(command.node_id);
  if (agent == nullptr) return UnknownNode(command.node_id, draft->state());
  Reply reply;
  reply.name = command.node_id;
  if (!agent->connected()) return reply;
  records::Event event;
  event.mutable_agent_lost()->set_node_id(command.node_id);
  event.mutable_agent_lost()->set_reason(command.reason);
  draft->Emit(std::move(event));
  for (const uint64_t uid : draft->RunsOn(command.node_id)) AdvanceAttempt(uid, draft);
  return reply;
}

absl::StatusOr<Reply> Drain(const DrainNode& command, Draft* draft) {
  absl::Status status = CheckAccess(draft->principal(), Action::kAdminister, "", "");
  if (!status.ok()) return status;
  const AgentPtr agent = draft->Agent(command.node_id);
  if (agent == nullptr) return UnknownNode(command.node_id, draft->state());
  const bool new_deadline =
      !command.undo && agent->draining() && command.deadline_us != agent->drain_deadline_us();
  // Who drains a node that drains only because its machine leaves wants it drained in any case.
  const bool takes_over =
      !command.undo && agent->leaving() && agent->draining() && agent->reason() == kGoesAway;
  if (agent->draining() == command.undo || new_deadline || takes_over) {
    records::Event event;
    event.mutable_node_drain_set()->set_node_id(command.node_id);
    event.mutable_node_drain_set()->set_draining(!command.undo);
    const bool silent = takes_over && command.reason.empty();
    event.mutable_node_drain_set()->set_reason(command.undo ? ""
                                               : silent     ? "drained while its machine goes away"
                                                            : command.reason);
    event.mutable_node_drain_set()->set_leaving(takes_over);
    if (!command.undo) event.mutable_node_drain_set()->set_deadline_us(command.deadline_us);
    draft->Emit(std::move(event));
  }
  if (command.undo && agent->quarantined()) {
    records::Event event;
    event.mutable_node_quarantined()->set_node_id(command.node_id);
    event.mutable_node_quarantined()->set_undo(true);
    draft->Emit(std::move(event));
  }
  Reply reply;
  reply.name = command.node_id;
  return reply;
}

absl::StatusOr<Reply> RevokeKeys(const RevokeNode& command, Draft* draft) {
  absl::Status status = CheckAccess(draft->principal(), Action::kAdminister, "", "");
  if (!status.ok()) return status;
  bool known = draft->Agent(command.node_id) != nullptr;
  for (const auto& [id, token] : draft->state().tokens) {
    if (token->role() != v1::AGENT || token->node_id() != command.node_id) continue;
    known = true;
    if (token->revoked() || token->used()) continue;
    records::Event event;
    event.mutable_token_revoked()->set_id(id);
    draft->Emit(std::move(event));
  }
  if (!known) return UnknownNode(command.node_id, draft->state());
  Reply reply;
  reply.name = command.node_id;
  return reply;
}

void ConsiderQuarantine(const std::string& node_id, Draft* draft) {
  const AgentPtr agent = draft->Agent(node_id);
  if (agent == nullptr || agent->quarantined()) return;
  if (agent->recent_failed_jobs_size() < kJobsToQuarantine) return;
  int connected = 0;
  int quarantined = 0;
  for (const auto& [id, row] : draft->state().agents) {
    connected += row->connected() ? 1 : 0;
    quarantined += row->connected() && row->quarantined() ? 1 : 0;
  }
  if (2 * (quarantined + 1) > connected) return;
  records::Event event;
  event.mutable_node_quarantined()->set_node_id(node_id);
  event.mutable_node_quarantined()->set_reason(
      absl::StrCat(agent->recent_failed_jobs_size(), " jobs in a row failed on this node"));
  draft->Emit(std::move(event));
}

}  // namespace trainyard::core
