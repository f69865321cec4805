// The agents' service over gRPC. See services.h.
#include <utility>

#include "scheduler/api/daemons.h"
#include "scheduler/api/nodes.h"
#include "scheduler/rpc/agent_streams.h"
#include "scheduler/rpc/services.h"
#include "scheduler/rpc/unary.h"
#include "trainyard/agent/v1/agent.grpc.pb.h"

namespace trainyard::rpc {
namespace {

class AgentService : public agent::v1::AgentService::CallbackService {
 public:
  AgentService(const api::Context* context, AgentRegistry* registry, MetricHub* hub)
      : context_(context), registry_(registry), hub_(hub) {}

  grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext* call,
                                 const agent::v1::JoinRequest* request,
                                 agent::v1::JoinResponse* response) override {
    return AnswerLater(*context_, call, response, [&](const auto& /*principal*/, auto done) {
      api::Join(*context_, BearerOf(*call), *request, std::move(done));
    });
  }

  grpc::ServerBidiReactor<agent::v1::AgentMessage, agent::v1::SchedulerMessage>* Control(
      grpc::CallbackServerContext* call) override {
    return StartControl(*context_, call, registry_, hub_);
  }

  grpc::ServerBidiReactor<agent::v1::TelemetryBatch, agent::v1::TelemetryAck>* Telemetry(
      grpc::CallbackServerContext* call) override {
    return StartTelemetry(*context_, call, hub_);
  }

  grpc::ServerUnaryReactor* SpawnDaemon(grpc::CallbackServerContext* call,
                                        const agent::v1::SpawnDaemonRequest* request,
                                        agent::v1::SpawnDaemonResponse* response) override {
    return AnswerNow(*context_, call, response, [&](const core::Principal& principal) {
      return api::SpawnDaemon(*context_, principal, *request, registry_);
    });
  }

 private:
  const api::Context* const context_;
  AgentRegistry* const registry_;
  MetricHub* const hub_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeAgentService(const api::Context* context,
                                                AgentRegistry* registry, MetricHub* hub) {
  return std::make_unique<AgentService>(context, registry, hub);
}

}  // namespace trainyard::rpc
