// Who holds what on which node. A member holds its cores, memory and devices from RunPlaced until
// its agent says that it is gone (Released, or a connect without it): never until a verdict, never
// until a time has passed. Members of earlier attempts that are not gone are `held` by their run.
#ifndef TRAINYARD_SCHEDULER_CORE_CAPACITY_H_
#define TRAINYARD_SCHEDULER_CORE_CAPACITY_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "scheduler/core/state.h"
#include "scheduler/core/types.h"

namespace trainyard::core {

// Calls `visit` for every member of the run that still holds something.
void ForEachHold(const records::RunRow& run,
                 absl::FunctionRef<void(const records::MemberRow&)> visit);
bool HoldsAnything(const records::RunRow& run);
// Whether two versions of one run hold the same.
bool SameHolds(const records::RunRow& a, const records::RunRow& b);

// Adds (sign +1) or takes away (-1) what `member` holds.
void CountHold(const records::MemberRow& member, int sign, NodeUse* use);

// Why nothing may be placed on the node: "not connected", "draining: reason", ...; "" when it may.
std::string UnschedulableReason(const records::AgentRow& agent);

// Whether `member` fits beside what is in use; RESOURCE_EXHAUSTED says what is short.
absl::Status CheckFits(const records::AgentRow& agent, const NodeUse& use,
                       const records::MemberRow& member);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_CAPACITY_H_
