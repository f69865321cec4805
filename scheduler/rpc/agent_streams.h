// The two streams of an agent: control (inventory, desired states, facts, leases) and telemetry
// (log chunks, metric points).
#ifndef TRAINYARD_SCHEDULER_RPC_AGENT_STREAMS_H_
#define TRAINYARD_SCHEDULER_RPC_AGENT_STREAMS_H_

#include <grpcpp/grpcpp.h>

#include "scheduler/api/context.h"
#include "scheduler/rpc/agent_registry.h"
#include "scheduler/rpc/metric_hub.h"
#include "trainyard/agent/v1/agent.pb.h"

namespace trainyard::rpc {

// First message: Hello. Then heartbeats (each renews the lease and is answered), facts (each is
// acknowledged once durable) and acknowledgements. The stream ends when the lease was lost or
// another stream of the same node takes over.
grpc::ServerBidiReactor<agent::v1::AgentMessage, agent::v1::SchedulerMessage>* StartControl(
    const api::Context& context, grpc::CallbackServerContext* call, AgentRegistry* registry,
    MetricHub* hub);

// Each batch is stored, then acknowledged by its sequence. Chunks of members that the node never
// had are dropped.
grpc::ServerBidiReactor<agent::v1::TelemetryBatch, agent::v1::TelemetryAck>* StartTelemetry(
    const api::Context& context, grpc::CallbackServerContext* call, MetricHub* hub);

}  // namespace trainyard::rpc

#endif  // TRAINYARD_SCHEDULER_RPC_AGENT_STREAMS_H_
