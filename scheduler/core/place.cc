// Placing a run as a planner proposed: checked again against the state as it is now, all members or
// none. See run_machine.h.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "scheduler/core/capacity.h"
#include "scheduler/core/limits.h"
#include "scheduler/core/overlap.h"
#include "scheduler/core/queueing.h"
#include "scheduler/core/ranks.h"
#include "scheduler/core/run_machine.h"
#include "scheduler/core/settings.h"
#include "scheduler/core/taints.h"

namespace trainyard::core {
namespace {

constexpr char kBeforeItEnds[] = " before the run surely ends";

absl::Status Refuse(absl::string_view why) { return absl::FailedPreconditionError(why); }

int32_t IndexOf(const records::AgentRow& agent, const std::string& uuid) {
  for (const v1::Device& device : agent.inventory().devices()) {
    if (device.uuid() == uuid) return device.index();
  }
  return 0;
}

// Fills one rank of a member from the plan's slot and the spec.
absl::Status FillRank(const RankNeed& need, const wire::RankSlot& planned,
                      const records::AgentRow& agent, records::MemberRow* member) {
  const int wanted = need.gpu_milli > 0 ? 1 : need.gpu_count;
  if (planned.device_uuids_size() != wanted) {
    return Refuse(absl::StrCat("rank ", need.rank, " needs ", wanted, " devices, planned ",
                               planned.device_uuids_size()));
  }
  wire::RankSlot* slot = member->add_ranks();
  slot->set_rank(need.rank);
  slot->set_local_rank(member->ranks_size() - 1);
  slot->set_task_type(need.task_type);
  slot->set_task_index(need.task_index);
  for (const std::string& uuid : planned.device_uuids()) {
    slot->add_device_uuids(uuid);
    slot->add_device_indices(IndexOf(agent, uuid));
    member->add_device_uuids(uuid);
  }
  member->set_cpu_milli(member->cpu_milli() + need.cpu_milli);
  member->set_memory_bytes(member->memory_bytes() + need.memory_bytes);
  if (need.gpu_milli > 0) member->set_gpu_milli(need.gpu_milli);
  return absl::OkStatus();
}

// Whole members from the plan: numbered, with what the spec says; every rank exactly once.
absl::StatusOr<std::vector<records::MemberRow>> FillMembers(const PlacedRun& plan,
                                                            const v1::JobSpec& spec,
                                                            const Draft& draft,
                                                            std::string* node_id) {
  const std::vector<RankNeed> needs = RanksOf(spec);
  std::vector<bool> seen(needs.size(), false);
  std::vector<records::MemberRow> members;
  for (const records::MemberRow& planned : plan.members) {
    *node_id = planned.node_id();
    const AgentPtr agent = draft.Agent(planned.node_id());
    if (agent == nullptr) return Refuse(absl::StrCat("there is no node ", planned.node_id()));
    const std::string reason = UnschedulableReason(*agent);
    if (!reason.empty()) return Refuse(absl::StrCat(planned.node_id(), " is ", reason));
    records::MemberRow member;
    member.set_member(static_cast<int32_t>(members.size()));
    member.set_node_id(planned.node_id());
    for (const wire::RankSlot& slot : planned.ranks()) {
      const size_t rank = static_cast<size_t>(slot.rank());
      if (rank >= needs.size() || seen[rank]) {
        return Refuse(absl::StrCat("rank ", slot.rank(), " is unknown or planned twice"));
      }
      seen[rank] = true;
      absl::Status status = FillRank(needs[rank], slot, *agent, &member);
      if (!status.ok()) return status;
    }
    if (member.ranks().empty()) return Refuse("a member has no rank");
    members.push_back(std::move(member));
  }
  node_id->clear();
  // An elastic job may start with its first ranks.
  const auto missing = std::find(seen.begin(), seen.end(), false);
  const auto ranks = missing - seen.begin();
  if (std::find(missing, seen.end(), true) != seen.end() || ranks < FewestRanks(spec)) {
    return Refuse("the plan does not hold the whole gang");
  }
  if (members.empty() || members[0].ranks(0).rank() != 0) {
    return Refuse("the first member must hold rank 0");
  }
  return members;
}

// Members of one gang may share a node: they are counted one after the other.
absl::Status CheckRoom(const std::vector<records::MemberRow>& members, const Draft& draft,
                       std::string* node_id) {
  std::map<std::string, NodeUse> use;
  for (const records::MemberRow& member : members) {
    *node_id = member.node_id();
    NodeUse& here = use.try_emplace(member.node_id(), draft.UseOf(member.node_id())).first->second;
    if (member.gpu_milli() == 0) {
      const std::set<std::string> distinct(member.device_uuids().begin(),
                                           member.device_uuids().end());
      if (static_cast<int>(distinct.size()) != member.device_uuids_size()) {
        return Refuse("a device is planned twice");
      }
    }
    absl::Status status = CheckFits(*draft.Agent(member.node_id()), here, member);
    if (!status.ok()) return status;
    CountHold(member, +1, &here);
    for (const auto& [uuid, milli] : here.device_milli) {
      if (milli > 1000) return Refuse(absl::StrCat("device ", uuid, " is planned twice"));
    }
  }
  node_id->clear();
  return absl::OkStatus();
}

bool ToleratesOne(const v1::Scheduling& scheduling, const std::string& taint) {
  const auto& all = scheduling.tolerations();
  return std::any_of(all.begin(), all.end(),
                     [&](const std::string& toleration) { return Tolerates(toleration, taint); });
}

}  // namespace

absl::Status CheckNode(const std::string& node_id, const records::JobRow& job,
                       const v1::JobSpec& spec, const Draft& draft) {
  const AgentPtr agent = draft.Agent(node_id);
  const v1::NodeInventory& node = agent->inventory();
  for (const auto& [key, value] : spec.scheduling().node_selector()) {
    const auto label = node.labels().find(key);
    if (label == node.labels().end() || label->second != value) {
      return Refuse(absl::StrCat(node_id, " has no label ", key, "=", value));
    }
  }
  for (const std::string& taint : node.taints()) {
    if (!ToleratesOne(spec.scheduling(), taint)) {
      return Refuse(absl::StrCat(node_id, " has the taint ", taint));
    }
  }
  // What may be preempted is told to stop when the node is wanted.
  const bool preemptible = spec.scheduling().preemptible();
  const int64_t ends_us = draft.now_us() + (preemptible ? 1 : TimeLimitUs(job, spec));
  const int64_t leaves_us = LeavesAtUs(*agent);
  if (leaves_us > 0 && ends_us > leaves_us - kLeaveAheadUs) {
    return Refuse(absl::StrCat(node_id, " goes away", preemptible ? "" : kBeforeItEnds));
  }
  if (ReservationInTheWay(draft.state(), node_id, draft.now_us(), ends_us) != nullptr) {
    return Refuse(absl::StrCat(node_id, " is reserved", preemptible ? "" : kBeforeItEnds));
  }
  return absl::OkStatus();
}

absl::Status PlaceRun(const PlacedRun& plan, Limits* limits, Draft* draft, std::string* node_id) {
  node_id->clear();
  const RunPtr run = draft->Run(plan.run_uid);
  if (run == nullptr || run->state() != records::R_WAITING) {
    return Refuse("the run does not wait any more");
  }
  const JobPtr job = draft->Job(run->job_uid());
  const SpecPtr spec = draft->Spec(run->job_uid());
  if (job == nullptr || spec == nullptr) return Refuse("the run's job is gone");
  if (IsBlocked(*job, *spec)) return Refuse("the job is on hold or waits for another");
  if (AwaitsRelease(*run, *spec, [&](const std::string& node) { return draft->Agent(node); })) {
    return Refuse("the run's attempt before is not gone yet");
  }
  auto members = FillMembers(plan, *spec, *draft, node_id);
  if (!members.ok()) return members.status();
  for (const records::MemberRow& member : *members) {
    *node_id = member.node_id();
    absl::Status status = CheckNode(member.node_id(), *job, *spec, *draft);
    if (!status.ok()) return status;
  }
  if (absl::Status status = CheckRoom(*members, *draft, node_id); !status.ok()) return status;
  if (absl::Status status = limits->Check(*job, *members); !status.ok()) return status;
  limits->Add(*job, *members);
  const records::ServerRow& server = draft->Server();
  records::Event event;
  records::RunPlaced* placed = event.mutable_run_placed();
  placed->set_run_uid(run->uid());
  placed->set_epoch(server.incarnation() << 32 | (server.epoch_counter() + 1));
  placed->set_incarnation(server.incarnation());
  for (records::MemberRow& member : *members) *placed->add_members() = std::move(member);
  draft->Emit(std::move(event));
  return absl::OkStatus();
}

}  // namespace trainyard::core
