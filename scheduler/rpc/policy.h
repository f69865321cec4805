// Who may call which method, by full path. What is not in the table is denied to everybody.
// Thread-safe.
#ifndef TRAINYARD_SCHEDULER_RPC_POLICY_H_
#define TRAINYARD_SCHEDULER_RPC_POLICY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "scheduler/api/identity.h"

namespace trainyard::rpc {

// True for the health service alone: no token needed.
bool IsOpen(absl::string_view path);

// OK when a caller of that role may call the method at all; the verb itself checks project and
// owner. PERMISSION_DENIED names the roles that may.
absl::Status CheckPolicy(absl::string_view path, const api::Identity& identity);

// Methods of our services, as compiled in, that have no line in the table; must be empty.
std::vector<std::string> MethodsWithoutPolicy();

}  // namespace trainyard::rpc

#endif  // TRAINYARD_SCHEDULER_RPC_POLICY_H_
