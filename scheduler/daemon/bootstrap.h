// What a scheduler makes sure of before it serves: project, tiers, the owner's token, the token of
// the embedded node's agent. Idempotent.
#ifndef TRAINYARD_SCHEDULER_DAEMON_BOOTSTRAP_H_
#define TRAINYARD_SCHEDULER_DAEMON_BOOTSTRAP_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "scheduler/runtime/runtime.h"

namespace trainyard::daemon {

// Posts as the system and waits until it is durable. Not for the owner or commit thread.
absl::Status Await(runtime::Runtime* runtime, core::CommandBody body);

absl::Status SeedSettings(runtime::Runtime* runtime);
// The secret admits its bearer as administrator.
absl::Status AdmitOwner(runtime::Runtime* runtime, absl::string_view secret);
// The secret admits the agent of `node_id`.
absl::Status AdmitAgent(runtime::Runtime* runtime, absl::string_view secret,
                        const std::string& node_id);

}  // namespace trainyard::daemon

#endif  // TRAINYARD_SCHEDULER_DAEMON_BOOTSTRAP_H_
