// Two attempts of one strict run never compute at the same time (strictLease in specs): the next
// one is placed when every member of those before is released, or its node was given up, which
// happens after the lease by which strict ranks have ended themselves. Pure.
#ifndef TRAINYARD_SCHEDULER_CORE_OVERLAP_H_
#define TRAINYARD_SCHEDULER_CORE_OVERLAP_H_

#include "absl/functional/function_ref.h"
#include "scheduler/core/rows.h"

namespace trainyard::core {

// Whether a new attempt of the run could overlap with one before. Always false for runs that are
// not strict.
bool MightOverlap(const records::RunRow& run, const v1::JobSpec& spec,
                  absl::FunctionRef<AgentPtr(const std::string& node_id)> agent_of);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_OVERLAP_H_
