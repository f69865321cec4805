// The scheduler's authority, known by the pin in a join token. Blocking; before the loop runs.
#ifndef TRAINYARD_WORKER_AGENT_PINNED_AUTHORITY_H_
#define TRAINYARD_WORKER_AGENT_PINNED_AUTHORITY_H_

#include <string>

#include "absl/status/statusor.h"

namespace trainyard::worker {

// Asks the server at `target` (host:port) for its certificates and returns the last of them as PEM
// when its pin is `pin`; nothing else is sent or trusted, least of all the server itself: whoever
// uses the answer as its authority still checks that the server's own certificate is signed by it.
// JOIN_REFUSED when the pin differs, SCHEDULER_UNREACHABLE when nobody speaks TLS there.
absl::StatusOr<std::string> FetchAuthority(const std::string& target, const std::string& pin);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_PINNED_AUTHORITY_H_
