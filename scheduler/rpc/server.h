// The gRPC server: all services, health and reflection, one authentication for all of it. Always on
// a unix socket, and on one TCP address, which must be loopback or carry TLS.
#ifndef TRAINYARD_SCHEDULER_RPC_SERVER_H_
#define TRAINYARD_SCHEDULER_RPC_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/api/context.h"
#include "scheduler/rpc/agent_registry.h"
#include "scheduler/rpc/metric_hub.h"

namespace trainyard::rpc {

struct ServerOptions {
  std::string unix_path;               // "" : none
  std::string listen = "127.0.0.1:0";  // "" : none
  std::string tls_certificate_file;    // both or none
  std::string tls_key_file;
};

// OK for a loopback address, or any with TLS; else INSECURE_ADDRESS with the commands that mend it.
// `flag` is the name of the flag the address came by.
absl::Status CheckListenAddress(absl::string_view flag, absl::string_view address, bool has_tls);

class Server {
 public:
  // All pointers outlive the server. `context` must be complete.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const api::Context* context,
                                                       AgentRegistry* registry, MetricHub* hub,
                                                       const ServerOptions& options);
  virtual ~Server() = default;                   // ends every call
  virtual std::string tcp_address() const = 0;   // "127.0.0.1:PORT", "" when none
  virtual std::string unix_address() const = 0;  // "unix:///path", "" when none
};

}  // namespace trainyard::rpc

#endif  // TRAINYARD_SCHEDULER_RPC_SERVER_H_
