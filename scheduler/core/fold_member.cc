// Folds of what agents say about their members. Each fact folds into the same row however often it
// comes. Devices become free here alone (Released), or when an agent connects without the member.
#include <algorithm>
#include <string>

#include "scheduler/core/fold.h"
#include "scheduler/core/settings.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::core {
namespace {

constexpr int kPendingStepsMax = 8;

void FoldExited(const wire::Exited& exited, const std::string& node_id, records::MemberRow* member,
                records::AttemptRow* attempt) {
  member->set_exited(true);
  member->set_phase(wire::EXITED_PHASE);
  *member->mutable_exit() = exited;
  member->mutable_exit()->clear_outputs();
  for (const v1::OutputTree& output : exited.outputs()) *attempt->add_outputs() = output;
  const bool failed = exited.record().cause() != v1::EXIT_CAUSE_UNSPECIFIED;
  // The first failure is the attempt's; what comes after a stop is its echo. In a gang over several
  // nodes an echo may come first: then the failure that is surer of itself takes its place.
  const bool first = !attempt->has_exit() && attempt->stop_us() == 0;
  const bool surer =
      attempt->has_exit() && exited.doubt() < attempt->exit_doubt() && !exited.stopped_on_request();
  if (!failed || !(first || surer)) {
    member->mutable_exit()->mutable_record()->clear_stderr_tail();
    return;
  }
  *attempt->mutable_exit() = exited.record();
  attempt->set_exit_doubt(exited.doubt());
  if (attempt->exit().node().empty()) attempt->mutable_exit()->set_node(node_id);
  member->mutable_exit()->mutable_record()->clear_stderr_tail();
}

void FoldPart(const wire::Fact& fact, records::RunRow* run) {
  const wire::CheckpointPart& part = fact.checkpoint_part();
  if (run->has_checkpoint() && run->checkpoint().epoch() == fact.key().epoch() &&
      part.step() <= run->checkpoint().step()) {
    return;
  }
  auto* parts = run->mutable_pending_parts();
  auto at = std::find_if(parts->begin(), parts->end(), [&](const records::Checkpoint& pending) {
    return pending.step() == part.step();
  });
  if (at == parts->end()) {
    if (parts->size() >= kPendingStepsMax) parts->DeleteSubrange(0, 1);
    records::Checkpoint* added = parts->Add();
    added->set_step(part.step());
    added->set_epoch(fact.key().epoch());
    at = parts->end() - 1;
  }
  while (at->trees_size() < run->attempt().members_size()) at->add_trees();
  if (fact.key().member() < at->trees_size()) at->set_trees(fact.key().member(), part.tree());
}

void FoldCurrent(const records::Event& event, records::RunRow* run) {
  const wire::Fact& fact = event.member_fact().fact();
  records::AttemptRow* attempt = run->mutable_attempt();
  records::MemberRow* member = MemberOf(attempt, fact.key().member());
  if (member == nullptr) return;
  member->clear_missing_us();
  if (attempt->state() == records::A_LEASED) {
    attempt->set_state(records::A_PREPARING);
    attempt->set_phase_us(event.time_us());
  }
  switch (fact.body_case()) {
    case wire::Fact::kPrepared:
      member->set_prepared(true);
      member->set_phase(wire::PREPARED_PHASE);
      member->set_port(fact.prepared().port());
      break;
    case wire::Fact::kRunning:
      member->set_running(true);
      member->set_phase(wire::RUNNING_PHASE);
      break;
    case wire::Fact::kExited:
      if (!member->exited()) {
        FoldExited(fact.exited(), event.member_fact().node_id(), member, attempt);
      }
      break;
    case wire::Fact::kReleased:
      member->set_released(true);
      break;
    case wire::Fact::kCheckpointPart:
      FoldPart(fact, run);
      break;
    case wire::Fact::kInventoryChanged:
    case wire::Fact::BODY_NOT_SET:
      break;
  }
}

void FoldReleasedHold(const wire::MemberKey& key, records::RunRow* run) {
  auto* held = run->mutable_held();
  held->erase(std::remove_if(held->begin(), held->end(),
                             [&](const records::HeldMember& old) {
                               return old.epoch() == key.epoch() &&
                                      old.member().member() == key.member();
                             }),
              held->end());
}

void FoldIntoAgent(const records::Event& event, Rows* rows) {
  const records::MemberFact& body = event.member_fact();
  const AgentPtr agent = rows->Agent(body.node_id());
  if (agent == nullptr) return;
  const wire::Fact& fact = body.fact();
  auto row = std::make_shared<records::AgentRow>(*agent);
  row->set_last_fact(std::max(row->last_fact(), fact.sequence()));
  if (fact.has_inventory_changed()) {
    TakeInventory(fact.inventory_changed(), row.get());
    row->set_revision(event.sequence());
  }
  if (fact.has_released() && row->stale_size() > 0) {
    auto* stale = row->mutable_stale();
    stale->erase(std::remove_if(stale->begin(), stale->end(),
                                [&](const wire::MemberKey& key) {
                                  return key.run_uid() == fact.key().run_uid() &&
                                         key.epoch() == fact.key().epoch() &&
                                         key.member() == fact.key().member();
                                }),
                 stale->end());
    row->set_revision(event.sequence());
  }
  rows->PutAgent(std::move(row));
}

}  // namespace

void FoldMember(const records::Event& event, Rows* rows) {
  FoldIntoAgent(event, rows);
  const wire::Fact& fact = event.member_fact().fact();
  EditRun(rows, fact.key().run_uid(), event.sequence(), [&](records::RunRow* run) {
    if (run->attempt().epoch() == fact.key().epoch()) {
      FoldCurrent(event, run);
    } else if (fact.has_released()) {
      FoldReleasedHold(fact.key(), run);
    }
  });
}

}  // namespace trainyard::core
