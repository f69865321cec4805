// Verbs of nodes over gRPC. See services.h.
#include <utility>

#include "scheduler/api/nodes.h"
#include "scheduler/rpc/agent_registry.h"
#include "scheduler/rpc/services.h"
#include "scheduler/rpc/unary.h"
#include "trainyard/v1/node.grpc.pb.h"

namespace trainyard::rpc {
namespace {

class NodeService : public v1::NodeService::CallbackService {
 public:
  NodeService(const api::Context* context, AgentRegistry* registry)
      : context_(context), registry_(registry) {}

  grpc::ServerUnaryReactor* ListNodes(grpc::CallbackServerContext* call,
                                      const v1::ListNodesRequest* request,
                                      v1::ListNodesResponse* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::ListNodes(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* GetNode(grpc::CallbackServerContext* call,
                                    const v1::GetNodeRequest* request,
                                    v1::Node* response) override {
    return AnswerNow(*context_, call, response, [&](const auto& principal) {
      return api::GetNode(*context_, principal, *request);
    });
  }
  grpc::ServerUnaryReactor* DrainNode(grpc::CallbackServerContext* call,
                                      const v1::DrainNodeRequest* request,
                                      v1::Node* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::DrainNode(*context_, principal, *request, std::move(done));
    });
  }
  grpc::ServerUnaryReactor* RevokeNode(grpc::CallbackServerContext* call,
                                       const v1::RevokeNodeRequest* request,
                                       v1::Node* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& principal, auto done) {
      api::RevokeNode(*context_, principal, *request,
                      [registry = registry_, done](absl::StatusOr<v1::Node> node) {
                        if (node.ok()) registry->LookAgain();
                        done(std::move(node));
                      });
    });
  }

 private:
  const api::Context* const context_;
  AgentRegistry* const registry_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeNodeService(const api::Context* context,
                                               AgentRegistry* registry) {
  return std::make_unique<NodeService>(context, registry);
}

}  // namespace trainyard::rpc
