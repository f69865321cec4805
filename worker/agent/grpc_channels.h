// The agent's two streams to the scheduler over gRPC. Loop thread.
#ifndef TRAINYARD_WORKER_AGENT_GRPC_CHANNELS_H_
#define TRAINYARD_WORKER_AGENT_GRPC_CHANNELS_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "trainyard/agent/v1/agent.pb.h"
#include "worker/agent/event_loop.h"

namespace trainyard::worker {

struct SchedulerAddress {
  std::string target;   // "unix:///path", "127.0.0.1:port", "host:port"
  std::string token;    // bearer
  std::string ca_file;  // PEM; needed for anything but unix and loopback
  absl::Duration reconnect_max = absl::Seconds(5);  // longest pause before connecting again
};

// INVALID_ARGUMENT (INSECURE_ADDRESS) for a foreign address without a certificate to check it by.
absl::Status CheckAddress(const SchedulerAddress& address);

class GrpcChannels {
 public:
  struct Events {
    std::function<void()> control_connected;
    std::function<void()> control_disconnected;
    std::function<void(const agent::v1::SchedulerMessage&)> control_message;
    std::function<void()> telemetry_connected;
    std::function<void()> telemetry_disconnected;
    std::function<void(uint64_t)> telemetry_ack;
  };

  static absl::StatusOr<std::unique_ptr<GrpcChannels>> Make(EventLoop* loop,
                                                            const SchedulerAddress& address);
  virtual ~GrpcChannels() = default;
  // Opens both streams and keeps them open; every handler of `events` is set. What is sent before
  // is dropped, as whatever is sent while there is no stream.
  virtual void Start(Events events) = 0;
  virtual void SendControl(const agent::v1::AgentMessage& message) = 0;
  virtual void SendTelemetry(const agent::v1::TelemetryBatch& batch) = 0;
  virtual void Reconnect() = 0;
  // One call with a deadline; `done` runs on the loop.
  virtual void SpawnDaemon(const agent::v1::SpawnDaemonRequest& request,
                           std::function<void(absl::Status)> done) = 0;
};

// Trades a one-time join token for the agent's own; blocks.
absl::StatusOr<agent::v1::JoinResponse> Join(const SchedulerAddress& address,
                                             const v1::NodeInventory& inventory);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_GRPC_CHANNELS_H_
