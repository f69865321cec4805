// Where the scheduler is and which token to show it, decided in this order: flags, environment,
// the user's config file, the state folder of the embedded cluster.
//
// Invariants: every answer says where it came from; the embedded cluster's admin token is never
// paired with an address other than that cluster's own. No network. Thread-safe.
#ifndef TRAINYARD_CLIENT_SDK_ENDPOINT_H_
#define TRAINYARD_CLIENT_SDK_ENDPOINT_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace trainyard::client {

// Value of an environment variable, "" when unset.
using Environment = std::function<std::string(const char* name)>;
Environment ProcessEnvironment();

// What the command line said; empty: not said.
struct EndpointFlags {
  std::string endpoint;
  std::string token;
  std::string project;
  std::string ca_file;
  // The cluster of the state folder with its own token, whatever variables and settings name.
  bool embedded = false;
};

struct Endpoint {
  std::string address;  // "unix:/path", "HOST:PORT"
  std::string address_source;
  std::string token;
  std::string token_source;
  std::string project = "default";
  bool tls = false;
  std::string ca_file;  // PEM; empty: the system's roots
};

// NOT_RUNNING (code UNAVAILABLE) when nothing names a scheduler; INVALID_ARGUMENT for a bad config
// file or address. Non-loopback addresses are always spoken to in TLS.
absl::StatusOr<Endpoint> FindEndpoint(const EndpointFlags& flags, const Environment& environment);

// Whether HOST:PORT, as Endpoint.address, is this machine alone.
bool IsLoopback(absl::string_view address);
// INVALID_ARGUMENT unless `text` is the address of a scheduler that a token may be sent to.
// `source` says who named it.
absl::Status CheckAddress(absl::string_view text, absl::string_view source);

// What the embedded cluster of a state folder wrote when it began to serve.
struct EmbeddedEndpoint {
  std::string grpc;
  std::string grpc_tcp;
  std::string http;
  int64_t pid = 0;
  uint64_t incarnation = 0;
};
// NOT_FOUND when there is no endpoint.json.
absl::StatusOr<EmbeddedEndpoint> ReadEmbeddedEndpoint(const std::string& state_folder);

// ${TRAINYARD_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/trainyard}
std::string StateFolder(const Environment& environment);
// ${XDG_CONFIG_HOME:-$HOME/.config}/trainyard/config.yaml
std::string ConfigFile(const Environment& environment);

}  // namespace trainyard::client

#endif  // TRAINYARD_CLIENT_SDK_ENDPOINT_H_
