// Life of an agent and its node: joined, connected, lost; drained, quarantined.
//
// What makes devices free when an agent comes back: its inventory of members is the truth about its
// node. Members that are over and that it does not have are free. Live ones that it does not have
// are missing: their facts may still lie on its disk, so they get a little time before they count
// as lost. Members that it has and nobody owns are stale: nothing is placed there until it says
// that they are gone. An agent that stays away frees nothing, and nothing could be placed there
// anyway.
#ifndef TRAINYARD_SCHEDULER_CORE_AGENT_MACHINE_H_
#define TRAINYARD_SCHEDULER_CORE_AGENT_MACHINE_H_

#include <string>

#include "absl/status/statusor.h"
#include "scheduler/core/draft.h"

namespace trainyard::core {

absl::StatusOr<Reply> Join(const AgentJoin& command, Draft* draft);
absl::StatusOr<Reply> Connect(const AgentConnect& command, Draft* draft);
absl::StatusOr<Reply> Lose(const AgentLoss& command, Draft* draft);
absl::StatusOr<Reply> Drain(const DrainNode& command, Draft* draft);
// The node's agent gets in no more. What it runs goes on until its lease ends: only then may it run
// elsewhere without overlap.
absl::StatusOr<Reply> RevokeKeys(const RevokeNode& command, Draft* draft);

// Quarantines the node when several jobs failed there that did not fail elsewhere; never more than
// half of the connected nodes, so that bad jobs cannot empty a cluster.
void ConsiderQuarantine(const std::string& node_id, Draft* draft);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_AGENT_MACHINE_H_
