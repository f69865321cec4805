// The session side of AgentCore: messages, wishes, lease; see agent_core.h. What happens to members
// on this machine is in agent_members.cc.
#include "worker/core/agent_core.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace trainyard::worker {
namespace {

using agent::v1::DesiredMember;
using agent::v1::SchedulerMessage;

// Of a lease: for clocks that do not run equally fast, and for the time that killing takes.
constexpr int kStrictMarginPart = 50;
// How long the scheduler may take to say welcome and to make facts durable.
constexpr absl::Duration kWelcomePatience = absl::Seconds(15);
constexpr absl::Duration kFactPatience = absl::Seconds(30);

agent::v1::MemberPhase ReportedPhase(AgentCore::Phase phase) {
  switch (phase) {
    case AgentCore::Phase::kStaging:
      return agent::v1::STAGING_PHASE;
    case AgentCore::Phase::kPrepared:
      return agent::v1::PREPARED_PHASE;
    case AgentCore::Phase::kStarting:
      return agent::v1::STARTING_PHASE;
    case AgentCore::Phase::kRunning:
      return agent::v1::RUNNING_PHASE;
    case AgentCore::Phase::kStopping:
      return agent::v1::STOPPING_PHASE;
    case AgentCore::Phase::kPublishing:
      return agent::v1::PUBLISHING_PHASE;
    case AgentCore::Phase::kExited:
    case AgentCore::Phase::kCleaning:
      return agent::v1::EXITED_PHASE;
  }
  return agent::v1::MEMBER_PHASE_UNSPECIFIED;
}

}  // namespace

void AgentCore::RestoreFacts(std::vector<agent::v1::Fact> facts, uint64_t next_sequence,
                             uint64_t acknowledged) {
  outbox_.Restore(std::move(facts), next_sequence, acknowledged);
  for (const agent::v1::Fact& fact : outbox_.facts()) {
    if (fact.has_exited()) Remember(IdOf(fact.key()));
  }
}

void AgentCore::Connected(const Now& now) {
  connected_ = true;
  welcomed_ = false;
  hello_sent_ = now.monotonic;
  agent::v1::AgentMessage message;
  agent::v1::Hello* const hello = message.mutable_hello();
  *hello->mutable_inventory() = inventory_;
  hello->set_last_incarnation(incarnation_);
  for (const auto& [id, member] : members_) {
    if (member.phase == Phase::kCleaning) continue;
    agent::v1::MemberReport* const report = hello->add_members();
    *report->mutable_key() = KeyOf(id);
    report->set_phase(ReportedPhase(member.phase));
  }
  hello->set_first_unacked_fact(outbox_.acknowledged() + 1);
  *hello->mutable_capabilities() = inventory_.capabilities();
  Send(std::move(message));
}

void AgentCore::Disconnected() {
  connected_ = false;
  welcomed_ = false;
  lease_.EndSession();
}

void AgentCore::Receive(const SchedulerMessage& message, const Now& now) {
  if (!connected_) return;
  switch (message.body_case()) {
    case SchedulerMessage::kWelcome:
      return OnWelcome(message.welcome(), now);
    case SchedulerMessage::kDelta:
      return OnDelta(message.delta(), now);
    case SchedulerMessage::kFactAck:
      return OnFactAck(message.fact_ack().sequence(), now);
    case SchedulerMessage::kLeaseRenewed:
      return OnRenewed(message.lease_renewed().sequence(), now);
    case SchedulerMessage::kStartDaemon:
    case SchedulerMessage::kDaemonRefused:
      return;  // the agent itself takes it: no member changes by it
    case SchedulerMessage::BODY_NOT_SET:
      return;  // of a newer version: nothing that we could act on
  }
}

void AgentCore::OnWelcome(const agent::v1::Welcome& welcome, const Now& now) {
  if (welcome.incarnation() < incarnation_) {
    effects_.push_back(
        Reconnect{absl::StrCat("the scheduler is incarnation ", welcome.incarnation(),
                               ", older than ", incarnation_, " which this node has met")});
    return;
  }
  if (welcome.incarnation() > incarnation_) {
    incarnation_ = welcome.incarnation();
    effects_.push_back(StoreIncarnation{incarnation_});
  }
  // Deadlines move by the time since the scheduler last answered.
  for (auto& [id, member] : members_) {
    if (member.deadline == absl::InfiniteDuration()) continue;
    member.deadline += now.monotonic - std::max(lease_.last_word(), member.counted_from);
    member.counted_from = now.monotonic;
  }
  welcomed_ = true;
  knows_wishes_ = true;
  version_ = welcome.version();
  store_address_ = welcome.store_address();
  lease_.Begin(hello_sent_, absl::Milliseconds(welcome.lease_ms()),
               absl::Milliseconds(welcome.heartbeat_ms()));
  heard_facts_ = now.monotonic;
  for (const agent::v1::Fact& fact : outbox_.facts()) {
    agent::v1::AgentMessage message;
    *message.mutable_fact() = fact;
    Send(std::move(message));
  }
  wishes_.clear();
  for (const DesiredMember& desired : welcome.desired()) TakeWish(desired, now);
  ReconcileAll(now);
  for (auto& [id, member] : members_) HandOnLease(id, &member, now);
  agent::v1::AgentMessage ack;
  ack.mutable_desired_ack()->set_version(version_);
  Send(std::move(ack));
}

void AgentCore::OnDelta(const agent::v1::DesiredDelta& delta, const Now& now) {
  if (!welcomed_) return;
  if (delta.version() > version_ + 1) {
    effects_.push_back(Reconnect{
        absl::StrCat("desired state jumped from version ", version_, " to ", delta.version())});
    return;
  }
  if (delta.version() == version_ + 1) {
    version_ = delta.version();
    for (const agent::v1::MemberKey& key : delta.remove()) wishes_.erase(IdOf(key));
    for (const DesiredMember& desired : delta.set()) TakeWish(desired, now);
    for (const agent::v1::MemberKey& key : delta.remove()) Reconcile(IdOf(key), now);
    for (const DesiredMember& desired : delta.set()) Reconcile(IdOf(desired.key()), now);
  }
  agent::v1::AgentMessage ack;
  ack.mutable_desired_ack()->set_version(version_);
  Send(std::move(ack));
}

void AgentCore::OnFactAck(uint64_t sequence, const Now& now) {
  if (outbox_.Acknowledge(sequence) == 0) return;
  heard_facts_ = now.monotonic;
  effects_.push_back(DropFacts{outbox_.acknowledged()});
  for (auto& [id, member] : members_) {
    if (member.phase != Phase::kExited || member.exited_fact > sequence) continue;
    member.phase = Phase::kCleaning;
    effects_.push_back(CleanMember{id});
  }
}

void AgentCore::OnRenewed(uint64_t sequence, const Now& now) {
  const bool was_valid = lease_.Valid(now.monotonic);
  if (!lease_.Renew(sequence)) return;
  for (auto& [id, member] : members_) HandOnLease(id, &member, now);
  was_valid ? LaunchWaiting(now) : ReconcileAll(now);
}

absl::Duration AgentCore::LeaseGrace(const agent::v1::Assignment& assignment) const {
  const absl::Duration grace = GraceOf(assignment);
  return assignment.strict_lease() ? std::min(grace, lease_.length() / 2) : grace;
}

absl::Duration AgentCore::LeaseLeft(const agent::v1::Assignment& assignment, const Now& now) const {
  if (assignment.strict_lease()) {
    const absl::Duration margin = lease_.length() / kStrictMarginPart;
    return lease_.until() - now.monotonic - LeaseGrace(assignment) - margin;
  }
  return absl::Milliseconds(assignment.stop_after_ms()) - (now.monotonic - lease_.last_word());
}

void AgentCore::HandOnLease(const MemberId& id, Member* member, const Now& now) {
  const bool lives = member->phase == Phase::kStarting || member->phase == Phase::kRunning;
  if (!lives) return;
  const absl::Duration stop_after = absl::Milliseconds(member->assignment.stop_after_ms());
  // Far from its end a lease need not be handed on with every heartbeat.
  const bool recent = now.monotonic - member->renewed < stop_after / 20;
  if (!member->assignment.strict_lease() && recent) return;
  const absl::Duration length = LeaseLeft(member->assignment, now);
  if (length <= absl::ZeroDuration()) return;
  member->renewed = now.monotonic;
  effects_.push_back(RenewLease{id, length});
}

// What waited for a longer lease may start now.
void AgentCore::LaunchWaiting(const Now& now) {
  for (auto& [id, member] : members_) {
    const auto wish = wishes_.find(id);
    if (member.phase == Phase::kPrepared && wish != wishes_.end()) {
      MoveOn(id, &member, wish->second, now);
    }
  }
}

bool AgentCore::IsStale(const MemberId& id) const {
  const MemberId newer{id.run_uid, id.epoch + 1, 0};
  const auto same_run = [&id](const MemberId& other) { return other.run_uid == id.run_uid; };
  const auto member = members_.lower_bound(newer);
  const auto ended = ended_.lower_bound(newer);
  return (member != members_.end() && same_run(member->first)) ||
         (ended != ended_.end() && same_run(*ended));
}

void AgentCore::TakeWish(const DesiredMember& desired, const Now& now) {
  const MemberId id = IdOf(desired.key());
  wishes_[id] = {desired.want(), desired.stop_reason()};
  const bool wanted = desired.want() == agent::v1::PREPARED || desired.want() == agent::v1::RUN;
  if (wanted && ended_.count(id) == 0) TakeAssignment(id, desired, now);
}

void AgentCore::TakeAssignment(const MemberId& id, const DesiredMember& desired, const Now& now) {
  const auto found = members_.find(id);
  if (found != members_.end()) {
    // Before the start an assignment may be completed, with the ports of peers for example.
    const bool open =
        found->second.phase == Phase::kStaging || found->second.phase == Phase::kPrepared;
    if (desired.has_assignment() && open) found->second.assignment = desired.assignment();
    return;
  }
  if (IsStale(id)) return;
  if (!desired.has_assignment()) {
    agent::v1::Exited exited;
    *exited.mutable_record() =
        RefusedEnd(v1::INTERNAL, "The node was asked to run a member it knows nothing of.").record;
    exited.set_refused(true);
    SayEnd(id, std::move(exited), now);
    return;
  }
  Member& member = members_[id];
  member.assignment = desired.assignment();
  *member.assignment.mutable_key() = desired.key();
  SetDeadline(member.assignment.staging_timeout_ms(), now, &member);
  effects_.push_back(StageMember{id});
}

void AgentCore::ReconcileAll(const Now& now) {
  std::set<MemberId> ids;
  for (const auto& [id, member] : members_) ids.insert(id);
  for (const auto& [id, wish] : wishes_) ids.insert(id);
  for (const MemberId& id : ids) Reconcile(id, now);
}

void AgentCore::Reconcile(const MemberId& id, const Now& now) {
  const auto wish = wishes_.find(id);
  const auto member = members_.find(id);
  if (member == members_.end()) {
    if (wish != wishes_.end()) ReconcileUnknown(id, wish->second, now);
  } else if (wish != wishes_.end()) {
    MoveOn(id, &member->second, wish->second, now);
  } else if (knows_wishes_) {
    StopKnown(id, &member->second, agent::v1::STOP_STALE, now);
  }
}

// A stop may reach a node that the order to prepare never did: then there is nothing to wait for.
// What ended here and was acknowledged is asked for again only by a scheduler that has forgotten
// it, because an old backup was put in place: it is told again.
void AgentCore::ReconcileUnknown(const MemberId& id, const Wish& wish, const Now& now) {
  const bool ended = ended_.count(id) != 0;
  if ((wish.want != agent::v1::STOPPED && !ended) || outbox_.HasEnd(id)) return;
  agent::v1::Exited exited;
  *exited.mutable_record() = StoppedEnd(wish.reason).record;
  exited.set_refused(true);
  exited.set_stopped_on_request(wish.want == agent::v1::STOPPED);
  if (wish.want != agent::v1::STOPPED) {
    exited.mutable_record()->set_cause(v1::NODE_LOST);
    exited.mutable_record()->set_message(
        "It ended here before the scheduler's state was restored.");
  }
  SayEnd(id, std::move(exited), now);
}

void AgentCore::Tick(const Now& now) {
  uint64_t sequence = 0;
  if (welcomed_ && lease_.HeartbeatDue(now.monotonic, &sequence)) {
    agent::v1::AgentMessage message;
    message.mutable_heartbeat()->set_sequence(sequence);
    Send(std::move(message));
  }
  CheckSession(now);
  for (auto& [id, member] : members_) CheckDeadline(id, &member, now);
  if (!welcomed_) return;
  for (const auto& [id, wish] : wishes_) {
    if (members_.count(id) == 0) ReconcileUnknown(id, wish, now);
  }
}

void AgentCore::CheckSession(const Now& now) {
  if (connected_ && !welcomed_ && now.monotonic >= hello_sent_ + kWelcomePatience) {
    GiveUpSession("the scheduler has not said welcome");
  } else if (welcomed_ && !lease_.Valid(now.monotonic)) {
    GiveUpSession("the scheduler has not answered for a whole lease");
  } else if (welcomed_ && !outbox_.facts().empty() &&
             now.monotonic >= heard_facts_ + kFactPatience) {
    GiveUpSession("the scheduler has not acknowledged what happened here");
  }
}

void AgentCore::GiveUpSession(const std::string& why) {
  Disconnected();
  effects_.push_back(trainyard::worker::Reconnect{why});
}

absl::Duration AgentCore::NextTick() const {
  absl::Duration next = lease_.next_heartbeat();
  if (connected_ && !welcomed_) next = std::min(next, hello_sent_ + kWelcomePatience);
  if (!welcomed_) return next;
  next = std::min(next, lease_.until());
  for (const auto& [id, member] : members_) {
    if (member.phase == Phase::kStaging || member.phase == Phase::kPublishing) {
      next = std::min(next, member.deadline);
    }
  }
  return next;
}

void AgentCore::Send(agent::v1::AgentMessage message) {
  effects_.push_back(SendToScheduler{std::move(message)});
}

std::vector<Effect> AgentCore::TakeEffects() { return std::exchange(effects_, {}); }

}  // namespace trainyard::worker
