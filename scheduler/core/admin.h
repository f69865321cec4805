// What administrators and the server itself set: start, projects, tiers, tokens.
#ifndef TRAINYARD_SCHEDULER_CORE_ADMIN_H_
#define TRAINYARD_SCHEDULER_CORE_ADMIN_H_

#include "absl/status/statusor.h"
#include "scheduler/core/draft.h"

namespace trainyard::core {

absl::StatusOr<Reply> Start(const StartServer& command, Draft* draft);
absl::StatusOr<Reply> MakeProject(const CreateProject& command, Draft* draft);
absl::StatusOr<Reply> PutTier(const SetTier& command, Draft* draft);
absl::StatusOr<Reply> AddToken(const CreateToken& command, Draft* draft);
absl::StatusOr<Reply> DropToken(const RevokeToken& command, Draft* draft);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_ADMIN_H_
