// Verbs of nodes and of their agents' joining.
#ifndef TRAINYARD_SCHEDULER_API_NODES_H_
#define TRAINYARD_SCHEDULER_API_NODES_H_

#include "scheduler/api/context.h"
#include "trainyard/agent/v1/agent.pb.h"
#include "trainyard/v1/node.pb.h"

namespace trainyard::api {

absl::StatusOr<v1::ListNodesResponse> ListNodes(const Context& context,
                                                const core::Principal& principal,
                                                const v1::ListNodesRequest& request);
absl::StatusOr<v1::Node> GetNode(const Context& context, const core::Principal& principal,
                                 const v1::GetNodeRequest& request);
void DrainNode(const Context& context, const core::Principal& principal,
               const v1::DrainNodeRequest& request, Done<v1::Node> done);
void RevokeNode(const Context& context, const core::Principal& principal,
                const v1::RevokeNodeRequest& request, Done<v1::Node> done);
// `join_token`: the one-time token the caller came with. The answer holds the agent's own token.
void Join(const Context& context, absl::string_view join_token,
          const agent::v1::JoinRequest& request, Done<agent::v1::JoinResponse> done);

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_NODES_H_
