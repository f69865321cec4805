// See overlap.h.
#include "scheduler/core/overlap.h"

#include <string>

#include "scheduler/core/capacity.h"

namespace trainyard::core {

bool AwaitsRelease(const records::RunRow& run, const v1::JobSpec& spec,
                   absl::FunctionRef<AgentPtr(const std::string& node_id)> agent_of) {
  if (!spec.scheduling().strict_lease() && spec.launch().min_replicas() == 0) return false;
  bool awaits = false;
  ForEachHold(run, [&](const records::MemberRow& member) {
    const AgentPtr agent = agent_of(member.node_id());
    awaits |= agent != nullptr && agent->connected();
  });
  return awaits;
}

}  // namespace trainyard::core
