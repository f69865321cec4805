// See capacity.h.
#include "scheduler/core/capacity.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace trainyard::core {
namespace {

int32_t MilliOf(const records::MemberRow& member) {
  return member.gpu_milli() > 0 ? static_cast<int32_t>(member.gpu_milli()) : 1000;
}

}  // namespace

void ForEachHold(const records::RunRow& run,
                 absl::FunctionRef<void(const records::MemberRow&)> visit) {
  for (const records::MemberRow& member : run.attempt().members()) {
    if (!member.released()) visit(member);
  }
  for (const records::HeldMember& held : run.held()) visit(held.member());
}

bool HoldsAnything(const records::RunRow& run) {
  bool any = run.held_size() > 0;
  for (const records::MemberRow& member : run.attempt().members()) any |= !member.released();
  return any;
}

bool SameHolds(const records::RunRow& a, const records::RunRow& b) {
  if (a.held_size() != b.held_size()) return false;
  if (a.attempt().members_size() != b.attempt().members_size()) return false;
  if (a.attempt().epoch() != b.attempt().epoch()) return !HoldsAnything(a) && !HoldsAnything(b);
  for (int i = 0; i < a.attempt().members_size(); ++i) {
    if (a.attempt().members(i).released() != b.attempt().members(i).released()) return false;
  }
  return true;
}

void CountHold(const records::MemberRow& member, int sign, NodeUse* use) {
  use->cpu_milli += sign * member.cpu_milli();
  use->memory_bytes += sign * member.memory_bytes();
  use->members += sign;
  for (const std::string& uuid : member.device_uuids()) {
    const int32_t milli = use->device_milli[uuid] += sign * MilliOf(member);
    if (milli == 0) use->device_milli.erase(uuid);
  }
}

std::string UnschedulableReason(const records::AgentRow& agent) {
  if (!agent.connected()) return "not connected";
  if (agent.quarantined()) return absl::StrCat("quarantined: ", agent.reason());
  if (agent.draining()) {
    return agent.reason().empty() ? "draining" : absl::StrCat("draining: ", agent.reason());
  }
  if (agent.stale_size() > 0) return "still stopping members of earlier attempts";
  return "";
}

absl::Status CheckFits(const records::AgentRow& agent, const NodeUse& use,
                       const records::MemberRow& member) {
  const v1::NodeInventory& node = agent.inventory();
  const int64_t cpu_free = int64_t{node.cores()} * 1000 - use.cpu_milli;
  if (member.cpu_milli() > cpu_free) {
    return absl::ResourceExhaustedError(absl::StrCat(node.node_id(), " has ", cpu_free,
                                                     " thousandths of a core free, needed ",
                                                     member.cpu_milli()));
  }
  const int64_t memory_free = node.memory_bytes() - use.memory_bytes;
  if (member.memory_bytes() > memory_free) {
    return absl::ResourceExhaustedError(absl::StrCat(
        node.node_id(), " has ", memory_free, " bytes free, needed ", member.memory_bytes()));
  }
  for (const std::string& uuid : member.device_uuids()) {
    const auto device =
        std::find_if(node.devices().begin(), node.devices().end(),
                     [&](const v1::Device& candidate) { return candidate.uuid() == uuid; });
    if (device == node.devices().end() || !device->healthy()) {
      return absl::ResourceExhaustedError(
          absl::StrCat(node.node_id(), " has no healthy device ", uuid));
    }
    const auto used = use.device_milli.find(uuid);
    if (used != use.device_milli.end() && used->second + MilliOf(member) > 1000) {
      return absl::ResourceExhaustedError(absl::StrCat("device ", uuid, " is taken"));
    }
  }
  return absl::OkStatus();
}

}  // namespace trainyard::core
