// Folds about agents and their nodes.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/core/fold.h"
#include "scheduler/core/settings.h"

namespace trainyard::core {
namespace {

std::shared_ptr<records::AgentRow> CopyOrNew(const std::string& node_id,
                                             const records::Event& event, const Rows& rows) {
  const AgentPtr old = rows.Agent(node_id);
  auto row = old == nullptr ? std::make_shared<records::AgentRow>()
                            : std::make_shared<records::AgentRow>(*old);
  row->set_node_id(node_id);
  row->set_revision(event.sequence());
  return row;
}

void FoldJoin(const records::Event& event, Rows* rows) {
  const records::AgentJoined& joined = event.agent_joined();
  auto row = CopyOrNew(joined.node_id(), event, *rows);
  *row->mutable_inventory() = joined.inventory();
  row->set_token_hash(joined.token_hash());
  rows->PutAgent(std::move(row));

  auto token = std::make_shared<records::TokenRow>();
  token->set_id(absl::StrCat("agent-", joined.node_id()));
  token->set_user(joined.node_id());
  token->set_role(v1::AGENT);
  token->set_hash(joined.token_hash());
  token->set_node_id(joined.node_id());
  rows->PutToken(std::move(token));
  if (const TokenPtr old = rows->Token(joined.join_token_id()); old != nullptr) {
    auto used = std::make_shared<records::TokenRow>(*old);
    used->set_used(true);
    rows->PutToken(std::move(used));
  }
}

bool SameKey(const wire::MemberKey& key, const records::RunRow& run, uint64_t epoch,
             int32_t member) {
  return key.run_uid() == run.uid() && key.epoch() == epoch && key.member() == member;
}

// Marks members of the run that the agent no longer has.
void FoldAbsentees(const records::Event& event, uint64_t run_uid, Rows* rows) {
  const records::AgentConnected& connected = event.agent_connected();
  EditRun(rows, run_uid, event.sequence(), [&](records::RunRow* run) {
    records::AttemptRow* attempt = run->mutable_attempt();
    for (records::MemberRow& member : *attempt->mutable_members()) {
      const auto is_member = [&](const wire::MemberKey& key) {
        return SameKey(key, *run, attempt->epoch(), member.member());
      };
      if (std::any_of(connected.missing().begin(), connected.missing().end(), is_member)) {
        member.set_missing_us(event.time_us());
      }
      if (std::any_of(connected.released().begin(), connected.released().end(), is_member)) {
        member.set_released(true);
      }
    }
    auto* held = run->mutable_held();
    held->erase(std::remove_if(held->begin(), held->end(),
                               [&](const records::HeldMember& old) {
                                 return std::any_of(connected.released().begin(),
                                                    connected.released().end(),
                                                    [&](const wire::MemberKey& key) {
                                                      return SameKey(key, *run, old.epoch(),
                                                                     old.member().member());
                                                    });
                               }),
                held->end());
  });
}

void FoldConnect(const records::Event& event, Rows* rows) {
  const records::AgentConnected& connected = event.agent_connected();
  auto row = CopyOrNew(connected.node_id(), event, *rows);
  TakeInventory(connected.inventory(), row.get());
  if (row->reason() == kKeyRevoked) row->clear_reason();
  row->set_connected(true);
  row->set_connect_us(event.time_us());
  row->set_lost_us(0);
  if (connected.facts_restart()) row->set_last_fact(0);
  *row->mutable_stale() = connected.stale();
  rows->PutAgent(std::move(row));
  std::set<uint64_t> runs;
  for (const wire::MemberKey& key : connected.missing()) runs.insert(key.run_uid());
  for (const wire::MemberKey& key : connected.released()) runs.insert(key.run_uid());
  for (const uint64_t uid : runs) FoldAbsentees(event, uid, rows);
}

}  // namespace

void FoldAgent(const records::Event& event, Rows* rows) {
  if (event.has_agent_joined()) {
    FoldJoin(event, rows);
  } else if (event.has_agent_connected()) {
    FoldConnect(event, rows);
  } else if (event.has_agent_lost()) {
    EditAgent(rows, event.agent_lost().node_id(), event.sequence(), [&](records::AgentRow* row) {
      row->set_connected(false);
      row->set_lost_us(event.time_us());
    });
  } else if (event.has_node_drain_set()) {
    const records::NodeDrainSet& drain = event.node_drain_set();
    EditAgent(rows, drain.node_id(), event.sequence(), [&](records::AgentRow* row) {
      row->set_draining(drain.draining());
      row->set_reason(drain.reason());
      row->set_drain_deadline_us(drain.deadline_us());
      row->set_leaving(drain.leaving());
    });
  } else if (event.has_node_quarantined()) {
    const records::NodeQuarantined& quarantine = event.node_quarantined();
    EditAgent(rows, quarantine.node_id(), event.sequence(), [&](records::AgentRow* row) {
      row->set_quarantined(!quarantine.undo());
      row->set_reason(quarantine.reason());
      row->clear_recent_failed_jobs();
    });
  }
}

}  // namespace trainyard::core
