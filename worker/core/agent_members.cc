// The machine side of AgentCore: from staging to the removed folder; see agent_core.h.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/unstored.h"
#include "worker/core/agent_core.h"

namespace trainyard::worker {
namespace {

constexpr int kBadPackage = 65;  // sysexits: the user's data are wrong

constexpr size_t kEndedMax = 10000;

// "ARGUMENT_REFUSED: Rank 0 exited ...": the stable reason, where it says more than the cause,
// stands before the sentence, so that programs find it too.
std::string WithReason(const ExitReport& report) {
  const bool says_more =
      !report.reason.empty() && report.reason != "PROGRAM_FAILED" && report.reason != report.cause;
  return says_more ? absl::StrCat(report.reason, ": ", report.message) : report.message;
}

}  // namespace

absl::Duration GraceOf(const agent::v1::Assignment& assignment) {
  const int64_t asked = assignment.grace_ms();
  return absl::Milliseconds(asked > 0 ? asked : 10000);
}

MemberEnd EndOf(const ExitReport& report) {
  MemberEnd end;
  v1::ExitCause cause = v1::EXIT_CAUSE_UNSPECIFIED;
  if (!report.cause.empty() && !v1::ExitCause_Parse(report.cause, &cause)) cause = v1::INTERNAL;
  end.record.set_cause(cause);
  end.record.set_message(WithReason(report));
  end.record.set_rank(report.rank);
  end.record.set_node(report.node);
  end.record.set_exit_code(report.exit_code);
  end.record.set_signal(report.signal);
  end.record.set_stderr_tail(report.stderr_tail);
  end.stopped_on_request = !report.stop.empty();
  end.doubt = report.doubt;
  end.last_step = report.last_step;
  end.metrics_seen = report.metrics_seen;
  return end;
}

MemberEnd RefusedEnd(v1::ExitCause cause, const std::string& message) {
  MemberEnd end;
  end.started = false;
  end.record.set_cause(cause);
  end.record.set_message(message);
  end.record.set_rank(-1);
  return end;
}

MemberEnd StoppedEnd(agent::v1::StopReason reason) {
  MemberEnd end = RefusedEnd(v1::CANCELLED_CAUSE, "Stopped before it started.");
  end.stopped_on_request = true;
  switch (reason) {
    case agent::v1::STOP_PREEMPT:
    case agent::v1::STOP_PAUSE:
    case agent::v1::STOP_RESIZE:
      end.record.set_cause(v1::PREEMPTED_CAUSE);
      break;
    case agent::v1::STOP_TIMEOUT:
      end.record.set_cause(v1::TIMED_OUT);
      break;
    case agent::v1::STOP_EARLY:
      end.record.set_cause(v1::STOPPED_EARLY);
      break;
    case agent::v1::STOP_STALE:
      end.record.set_cause(v1::NODE_LOST);
      break;
    default:
      break;
  }
  return end;
}

void AgentCore::Adopt(const agent::v1::Assignment& assignment, Phase phase, const MemberEnd& end,
                      uint64_t exited_fact, const Now& now) {
  const MemberId id = IdOf(assignment.key());
  Member& member = members_[id];
  member.assignment = assignment;
  member.end = end;
  const auto& facts = outbox_.facts();
  // By its member: a damaged log or a restart of the machine gave what is left new numbers.
  const auto ended = std::find_if(facts.begin(), facts.end(), [&id](const auto& fact) {
    return fact.has_exited() && IdOf(fact.key()) == id;
  });
  const bool kept = ended != facts.end();
  if (kept) exited_fact = ended->sequence();
  // Told, as its folder says, but the fact is gone and nobody had it: the machine lost its power.
  if (phase == Phase::kExited && !outbox_.Told(exited_fact) && !kept) {
    phase = Phase::kPublishing;
  }
  if (phase == Phase::kExited) {
    Remember(id);
    member.exited_fact = exited_fact;
    const bool known = outbox_.Told(exited_fact);
    member.phase = known ? Phase::kCleaning : Phase::kExited;
    if (known) effects_.push_back(CleanMember{id});
    // Its Released follows at once, so that it is acknowledged when anything behind the end is. The
    // agent may have been killed between the two, or a power cut have taken the second.
    bool told = outbox_.Told(exited_fact + 1);
    for (const agent::v1::Fact& fact : facts) {
      told |= fact.has_released() && IdOf(fact.key()) == id;
    }
    if (!told) SayReleased(id, now);
  } else if (phase == Phase::kPublishing) {
    member.phase = Phase::kRunning;
    Ended(id, end, now);
  } else {
    member.phase = phase;
  }
}

bool AgentCore::MayLaunch(const MemberId& id, const Now& now) const {
  if (!lease_.Valid(now.monotonic)) return false;
  const agent::v1::Assignment& assignment = members_.at(id).assignment;
  if (assignment.strict_lease() && LeaseLeft(assignment, now) <= absl::ZeroDuration()) return false;
  if (!DevicesFree(id)) return false;
  for (auto it = members_.lower_bound({id.run_uid, 0, 0});
       it != members_.end() && it->first.run_uid == id.run_uid && it->first.epoch < id.epoch;
       ++it) {
    const Phase phase = it->second.phase;
    if (phase == Phase::kStarting || phase == Phase::kRunning || phase == Phase::kStopping) {
      return false;
    }
  }
  return true;
}

// Fractions of a device are shared; a whole one serves one member.
bool AgentCore::DevicesFree(const MemberId& id) const {
  const auto uuids = [](const Member& member) {
    std::set<std::string> devices;
    for (const agent::v1::RankSlot& rank : member.assignment.ranks()) {
      devices.insert(rank.device_uuids().begin(), rank.device_uuids().end());
    }
    return devices;
  };
  const Member& member = members_.at(id);
  const std::set<std::string> wanted = uuids(member);
  if (wanted.empty()) return true;
  for (const auto& [other_id, other] : members_) {
    const bool lives = other.phase == Phase::kStarting || other.phase == Phase::kRunning ||
                       other.phase == Phase::kStopping;
    const bool share =
        member.assignment.per_rank().gpu_milli() > 0 && other.assignment.per_rank().gpu_milli() > 0;
    if (other_id == id || !lives || share) continue;
    for (const std::string& uuid : uuids(other)) {
      if (wanted.count(uuid) > 0) return false;
    }
  }
  return true;
}

void AgentCore::MoveOn(const MemberId& id, Member* member, const Wish& wish, const Now& now) {
  if (wish.want == agent::v1::STOPPED) {
    StopKnown(id, member, wish.reason, now);
  } else if (member->phase == Phase::kPrepared && wish.want == agent::v1::PREPARED) {
    if (std::exchange(member->told_prepared, true)) return;
    agent::v1::Fact fact;
    fact.mutable_prepared()->set_port(member->port);
    Say(std::move(fact), id, now);
  } else if (member->phase == Phase::kPrepared && wish.want == agent::v1::RUN) {
    if (!MayLaunch(id, now)) return;
    member->phase = Phase::kStarting;
    effects_.push_back(LaunchMember{id});
  }
}

void AgentCore::StopKnown(const MemberId& id, Member* member, agent::v1::StopReason reason,
                          const Now& now) {
  switch (member->phase) {
    case Phase::kStaging:
      effects_.push_back(CancelStaging{id});
      [[fallthrough]];
    case Phase::kPrepared:
      member->end = StoppedEnd(reason);
      SayExited(id, member, {}, now);
      return;
    case Phase::kStarting:
    case Phase::kRunning:
      member->phase = Phase::kStopping;
      break;
    case Phase::kStopping:
      if (member->stop == reason) return;
      break;
    case Phase::kPublishing:
    case Phase::kExited:
    case Phase::kCleaning:
      return;
  }
  member->stop = reason;
  effects_.push_back(StopMember{id, reason, GraceOf(member->assignment)});
}

void AgentCore::Staged(const MemberId& id, const absl::Status& status, int32_t port,
                       const Now& now) {
  const auto found = members_.find(id);
  if (found == members_.end() || found->second.phase != Phase::kStaging) return;
  Member& member = found->second;
  if (!status.ok()) {
    member.end = RefusedEnd(v1::STAGING, std::string(status.message()));
    // What is wrong by itself, such as a package that cannot be installed, is so everywhere.
    if (absl::IsInvalidArgument(status)) member.end.record.set_exit_code(kBadPackage);
    SayExited(id, &member, {}, now);
    return;
  }
  member.phase = Phase::kPrepared;
  member.port = port;
  Reconcile(id, now);
}

void AgentCore::Started(const MemberId& id, int64_t pid, const Now& now) {
  const auto found = members_.find(id);
  if (found == members_.end() || found->second.phase != Phase::kStarting) return;
  found->second.phase = Phase::kRunning;
  agent::v1::Fact fact;
  fact.mutable_running()->set_pid(pid);
  Say(std::move(fact), id, now);
  Reconcile(id, now);
}

void AgentCore::Ended(const MemberId& id, const MemberEnd& end, const Now& now) {
  const auto found = members_.find(id);
  if (found == members_.end()) return;
  Member& member = found->second;
  if (member.phase != Phase::kStarting && member.phase != Phase::kRunning &&
      member.phase != Phase::kStopping) {
    return;
  }
  member.end = end;
  if (end.started) {
    member.phase = Phase::kPublishing;
    SetDeadline(member.assignment.publish_timeout_ms(), now, &member);
    effects_.push_back(PublishMember{id});
  } else {
    SayExited(id, &member, {}, now);
  }
  LaunchWaiting(now);  // a newer epoch of the run, or another member for its devices
}

void AgentCore::Published(const MemberId& id, const absl::Status& status,
                          const std::vector<v1::OutputTree>& outputs, const Now& now) {
  const auto found = members_.find(id);
  if (found == members_.end() || found->second.phase != Phase::kPublishing) return;
  Member& member = found->second;
  if (!status.ok() && member.end.record.cause() == v1::EXIT_CAUSE_UNSPECIFIED) {
    member.end.record.set_cause(v1::INTERNAL);
    member.end.record.set_rank(-1);
    member.end.record.set_message(
        absl::StrCat("The program ended well, but its outputs could not be stored: ",
                     std::string(status.message())));
  } else if (!status.ok()) {
    absl::StrAppend(member.end.record.mutable_message(), " ", kOutputsUnstored,
                    std::string(status.message()));
  }
  if (member.lost_step > member.stored_step &&
      member.end.record.cause() != v1::EXIT_CAUSE_UNSPECIFIED) {
    absl::StrAppend(member.end.record.mutable_message(), " ", kCheckpointUnstored, member.lost_step,
                    " could not be stored: ", member.lost_why);
  }
  SayExited(id, &member, outputs, now);
}

void AgentCore::MetricsSeen(const MemberId& id, const std::vector<std::string>& names,
                            int64_t last_step) {
  const auto found = members_.find(id);
  if (found == members_.end()) return;
  MemberEnd& end = found->second.end;
  std::set<std::string> all(end.metrics_seen.begin(), end.metrics_seen.end());
  all.insert(names.begin(), names.end());
  end.metrics_seen.assign(all.begin(), all.end());
  end.last_step = std::max(end.last_step, last_step);
}

void AgentCore::CheckpointDurable(const MemberId& id, int64_t step, const std::string& tree,
                                  const Now& now) {
  const auto found = members_.find(id);
  if (found == members_.end() || found->second.phase == Phase::kExited ||
      found->second.phase == Phase::kCleaning) {
    return;
  }
  agent::v1::Fact fact;
  fact.mutable_checkpoint_part()->set_step(step);
  fact.mutable_checkpoint_part()->set_tree(tree);
  Say(std::move(fact), id, now);
  found->second.stored_step = std::max(found->second.stored_step, step);
}

void AgentCore::CheckpointLost(const MemberId& id, int64_t step, const absl::Status& why) {
  const auto found = members_.find(id);
  if (found == members_.end() || step < found->second.lost_step) return;
  found->second.lost_step = step;
  found->second.lost_why = std::string(why.message());
}

void AgentCore::Cleaned(const MemberId& id) {
  const auto found = members_.find(id);
  if (found != members_.end() && found->second.phase == Phase::kCleaning) members_.erase(found);
}

void AgentCore::InventoryChanged(const v1::NodeInventory& inventory, const Now& now) {
  inventory_ = inventory;
  agent::v1::Fact fact;
  *fact.mutable_inventory_changed() = inventory;
  Say(std::move(fact), MemberId(), now);
}

void AgentCore::Leave(const Now& now) {
  for (auto& [id, member] : members_) {
    if (member.phase < Phase::kStopping) StopKnown(id, &member, agent::v1::STOP_PREEMPT, now);
  }
}

void AgentCore::SetDeadline(int64_t limit_ms, const Now& now, Member* member) {
  member->deadline =
      limit_ms > 0 ? now.monotonic + absl::Milliseconds(limit_ms) : absl::InfiniteDuration();
  member->counted_from = now.monotonic;
}

void AgentCore::CheckDeadline(const MemberId& id, Member* member, const Now& now) {
  if (!welcomed_) return;
  const bool staging = member->phase == Phase::kStaging;
  if ((!staging && member->phase != Phase::kPublishing) || now.monotonic < member->deadline) return;
  const int64_t limit =
      staging ? member->assignment.staging_timeout_ms() : member->assignment.publish_timeout_ms();
  const absl::Status late = absl::DeadlineExceededError(
      absl::StrCat(staging ? "staging" : "publishing", " took longer than its limit of ",
                   limit / 1000, " s; raise it in the spec's scheduling section"));
  if (staging) effects_.push_back(CancelStaging{id});
  staging ? Staged(id, late, 0, now) : Published(id, late, {}, now);
}

void AgentCore::SayExited(const MemberId& id, Member* member,
                          const std::vector<v1::OutputTree>& outputs, const Now& now) {
  agent::v1::Exited exited;
  *exited.mutable_record() = member->end.record;
  if (exited.record().node().empty()) exited.mutable_record()->set_node(inventory_.node_id());
  for (const v1::OutputTree& output : outputs) *exited.add_outputs() = output;
  exited.set_last_step(member->end.last_step);
  for (const std::string& name : member->end.metrics_seen) exited.add_metrics_seen(name);
  exited.set_refused(!member->end.started);
  exited.set_stopped_on_request(member->end.stopped_on_request);
  exited.set_doubt(member->end.doubt);
  member->phase = Phase::kExited;
  member->exited_fact = SayEnd(id, std::move(exited), now);
}

// Processes are gone before this is said, so devices are free with it. The number of Exited.
uint64_t AgentCore::SayEnd(const MemberId& id, agent::v1::Exited exited, const Now& now) {
  Remember(id);
  agent::v1::Fact fact;
  *fact.mutable_exited() = std::move(exited);
  const uint64_t sequence = Say(std::move(fact), id, now);
  SayReleased(id, now);
  return sequence;
}

void AgentCore::SayReleased(const MemberId& id, const Now& now) {
  agent::v1::Fact fact;
  fact.mutable_released();
  Say(std::move(fact), id, now);
}

uint64_t AgentCore::Say(agent::v1::Fact fact, const MemberId& id, const Now& now) {
  *fact.mutable_key() = KeyOf(id);
  fact.set_time_us(now.wall_us);
  if (outbox_.facts().empty()) heard_facts_ = now.monotonic;
  const agent::v1::Fact& kept = outbox_.Add(std::move(fact));
  effects_.push_back(StoreFact{kept});
  if (welcomed_) {
    agent::v1::AgentMessage message;
    *message.mutable_fact() = kept;
    Send(std::move(message));
  }
  return kept.sequence();
}

void AgentCore::Remember(const MemberId& id) {
  ended_.insert(id);
  if (ended_.size() > kEndedMax) ended_.erase(ended_.begin());
}

const agent::v1::Assignment* AgentCore::FindAssignment(const MemberId& id) const {
  const auto found = members_.find(id);
  return found == members_.end() ? nullptr : &found->second.assignment;
}

int32_t AgentCore::PortOf(const MemberId& id) const {
  const auto found = members_.find(id);
  return found == members_.end() ? 0 : found->second.port;
}

std::vector<MemberId> AgentCore::Members() const {
  std::vector<MemberId> ids;
  for (const auto& [id, member] : members_) ids.push_back(id);
  return ids;
}

AgentCore::Phase AgentCore::PhaseOf(const MemberId& id) const { return members_.at(id).phase; }

}  // namespace trainyard::worker
