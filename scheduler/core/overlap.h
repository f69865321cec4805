// Runs whose next attempt waits for the members of those before. Two attempts of one strict run
// (strictLease in specs) never compute at the same time: the next one is placed when every member
// before it is released, or its node was given up, which happens after the lease by which strict
// ranks have ended themselves. An elastic run waits for its own devices: it would start with fewer
// replicas than it can have a moment later, only to be stopped again to grow. Pure.
#ifndef TRAINYARD_SCHEDULER_CORE_OVERLAP_H_
#define TRAINYARD_SCHEDULER_CORE_OVERLAP_H_

#include "absl/functional/function_ref.h"
#include "scheduler/core/rows.h"

namespace trainyard::core {

// Whether the run is such a one and a member of an attempt before holds something on a node that
// is connected.
bool AwaitsRelease(const records::RunRow& run, const v1::JobSpec& spec,
                   absl::FunctionRef<AgentPtr(const std::string& node_id)> agent_of);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_OVERLAP_H_
