// The way of mpirun's daemon order from the head of a gang to another node of it.
#ifndef TRAINYARD_SCHEDULER_API_DAEMONS_H_
#define TRAINYARD_SCHEDULER_API_DAEMONS_H_

#include "scheduler/api/context.h"
#include "trainyard/agent/v1/agent.pb.h"

namespace trainyard::api {

// Only the agent that has the head of a live attempt may ask, for another member of the same
// attempt and epoch; the words are checked by the node that runs them. UNAVAILABLE while that node
// is not connected, FAILED_PRECONDITION once the attempt is over or stops.
absl::StatusOr<agent::v1::SpawnDaemonResponse> SpawnDaemon(
    const Context& context, const core::Principal& principal,
    const agent::v1::SpawnDaemonRequest& request, runtime::AgentLink* link);

// The node of a member could not start the daemon: the agent of the gang's head is told, so that
// mpirun does not wait for it. Words about a member that the node does not have are dropped.
void RefuseDaemon(const Context& context, const core::Principal& principal,
                  const agent::v1::DaemonRefused& refused, runtime::AgentLink* link);

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_DAEMONS_H_
