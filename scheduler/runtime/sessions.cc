// See sessions.h.
#include "scheduler/runtime/sessions.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/grant.h"
#include "scheduler/core/core.h"

namespace trainyard::runtime {
namespace {

std::tuple<uint64_t, uint64_t, int32_t> KeyOf(const agent::v1::MemberKey& key) {
  return {key.run_uid(), key.epoch(), key.member()};
}

}  // namespace

// Adds what only the runtime knows: where the store is and the attempt's own token.
void Sessions::Complete(const core::State& state, agent::v1::DesiredMember* member) const {
  if (!member->has_assignment()) return;
  agent::v1::Assignment* assignment = member->mutable_assignment();
  assignment->set_store_address(options_->store_address);
  if (options_->token_secret.empty()) return;
  Grant grant;
  grant.kind = "attempt";
  grant.project = assignment->project();
  const auto job = state.jobs.find(assignment->job_uid());
  if (job != state.jobs.end()) grant.principal = job->second->principal();
  grant.run_uid = member->key().run_uid();
  grant.epoch = member->key().epoch();
  assignment->set_attempt_token(SignGrant(grant, options_->token_secret));
}

agent::v1::Welcome Sessions::Open(const core::State& state, const std::string& node_id) {
  Desk desk;
  agent::v1::Welcome welcome;
  welcome.set_incarnation(state.server.incarnation());
  welcome.set_lease_ms(absl::ToInt64Milliseconds(options_->lease));
  welcome.set_heartbeat_ms(absl::ToInt64Milliseconds(options_->heartbeat));
  welcome.set_store_address(options_->store_address);
  for (const std::string& capability : options_->capabilities) {
    welcome.add_capabilities(capability);
  }
  for (agent::v1::DesiredMember& member : core::DemandOfNode(state, node_id)) {
    Complete(state, &member);
    desk.told[KeyOf(member.key())] = {member.want(), member.stop_reason(), member.has_assignment()};
    nodes_told_[member.key().run_uid()].insert(node_id);
    *welcome.add_desired() = std::move(member);
  }
  welcome.set_version(desk.version);
  desks_[node_id] = std::move(desk);
  to_acknowledge_.erase(node_id);
  return welcome;
}

void Sessions::Close(const std::string& node_id) {
  const auto desk = desks_.find(node_id);
  if (desk == desks_.end()) return;
  for (const auto& [key, told] : desk->second.told) {
    const auto nodes = nodes_told_.find(std::get<0>(key));
    if (nodes == nodes_told_.end()) continue;
    nodes->second.erase(node_id);
    if (nodes->second.empty()) nodes_told_.erase(nodes);
  }
  desks_.erase(desk);
  to_acknowledge_.erase(node_id);
}

void Sessions::FactFolded(const std::string& node_id, uint64_t sequence) {
  const auto desk = desks_.find(node_id);
  if (desk == desks_.end()) return;
  desk->second.fact = std::max(desk->second.fact, sequence);
  to_acknowledge_.insert(node_id);
}

void Sessions::Compare(const core::State& state, uint64_t run_uid,
                       std::map<std::string, agent::v1::DesiredDelta>* deltas) {
  std::map<std::string, std::set<Key>> wanted;
  for (core::NodeDemand& demand : core::DemandOfRun(state, run_uid)) {
    const auto desk = desks_.find(demand.node_id);
    if (desk == desks_.end()) continue;
    const Key key = KeyOf(demand.member.key());
    wanted[demand.node_id].insert(key);
    const auto [told, is_new] = desk->second.told.try_emplace(key);
    if (is_new) nodes_told_[run_uid].insert(demand.node_id);
    if (!is_new && told->second.want == demand.member.want() &&
        told->second.reason == demand.member.stop_reason()) {
      continue;
    }
    // A gang's start order says once more who is in it: now all ports are known.
    const bool completes =
        demand.member.want() == agent::v1::RUN && told->second.want == agent::v1::PREPARED;
    if (told->second.has_assignment && !completes) {
      demand.member.clear_assignment();
    } else {
      Complete(state, &demand.member);
      told->second.has_assignment = demand.member.has_assignment();
    }
    told->second.want = demand.member.want();
    told->second.reason = demand.member.stop_reason();
    *(*deltas)[demand.node_id].add_set() = std::move(demand.member);
  }
  const auto nodes = nodes_told_.find(run_uid);
  if (nodes == nodes_told_.end()) return;
  for (auto node = nodes->second.begin(); node != nodes->second.end();) {
    const std::set<Key>& still = wanted[*node];
    std::map<Key, Told>& told = desks_[*node].told;
    for (auto it = told.lower_bound(Key{run_uid, 0, 0});
         it != told.end() && std::get<0>(it->first) == run_uid;) {
      if (still.contains(it->first)) {
        ++it;
        continue;
      }
      agent::v1::MemberKey* gone = (*deltas)[*node].add_remove();
      gone->set_run_uid(run_uid);
      gone->set_epoch(std::get<1>(it->first));
      gone->set_member(std::get<2>(it->first));
      it = told.erase(it);
    }
    node = still.empty() ? nodes->second.erase(node) : std::next(node);
  }
  if (nodes->second.empty()) nodes_told_.erase(nodes);
}

void Sessions::Collect(const core::State& state, const std::set<uint64_t>& runs,
                       AgentMessages* messages) {
  std::map<std::string, agent::v1::DesiredDelta> deltas;
  if (!desks_.empty()) {
    for (const uint64_t run_uid : runs) Compare(state, run_uid, &deltas);
  }
  for (auto& [node_id, delta] : deltas) {
    delta.set_version(++desks_[node_id].version);
    agent::v1::SchedulerMessage message;
    *message.mutable_delta() = std::move(delta);
    messages->emplace_back(node_id, std::move(message));
  }
  for (const std::string& node_id : to_acknowledge_) {
    agent::v1::SchedulerMessage message;
    message.mutable_fact_ack()->set_sequence(desks_[node_id].fact);
    messages->emplace_back(node_id, std::move(message));
  }
  to_acknowledge_.clear();
}

}  // namespace trainyard::runtime
