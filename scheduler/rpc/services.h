// The gRPC services over the api's verbs. Each handler finds its caller, converts, calls and
// returns: no lock is held across a call and nothing blocks.
#ifndef TRAINYARD_SCHEDULER_RPC_SERVICES_H_
#define TRAINYARD_SCHEDULER_RPC_SERVICES_H_

#include <memory>
#include <vector>

#include "scheduler/api/context.h"

namespace grpc {
class Service;
}

namespace trainyard::rpc {

class AgentRegistry;
class MetricHub;

std::unique_ptr<grpc::Service> MakeJobService(const api::Context* context);
std::unique_ptr<grpc::Service> MakeStudyService(const api::Context* context);
std::unique_ptr<grpc::Service> MakeInsightService(const api::Context* context);
std::unique_ptr<grpc::Service> MakeNodeService(const api::Context* context,
                                               AgentRegistry* registry);
std::unique_ptr<grpc::Service> MakeArtifactService(const api::Context* context);
std::unique_ptr<grpc::Service> MakeAdminService(const api::Context* context,
                                                AgentRegistry* registry);
std::unique_ptr<grpc::Service> MakeQueueService(const api::Context* context);
std::unique_ptr<grpc::Service> MakeAgentService(const api::Context* context,
                                                AgentRegistry* registry, MetricHub* hub);

}  // namespace trainyard::rpc

#endif  // TRAINYARD_SCHEDULER_RPC_SERVICES_H_
