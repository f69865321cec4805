// See overlap.h.
#include "scheduler/core/overlap.h"

#include <string>

#include "scheduler/core/capacity.h"

namespace trainyard::core {

bool MightOverlap(const records::RunRow& run, const v1::JobSpec& spec,
                  absl::FunctionRef<AgentPtr(const std::string& node_id)> agent_of) {
  if (!spec.scheduling().strict_lease()) return false;
  bool might = false;
  ForEachHold(run, [&](const records::MemberRow& member) {
    const AgentPtr agent = agent_of(member.node_id());
    might |= agent != nullptr && agent->connected();
  });
  return might;
}

}  // namespace trainyard::core
