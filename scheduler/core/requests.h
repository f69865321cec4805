// Request ids: the same id with the same body gives the first answer again, with another body it is
// an error. Kept seven days, per principal.
#ifndef TRAINYARD_SCHEDULER_CORE_REQUESTS_H_
#define TRAINYARD_SCHEDULER_CORE_REQUESTS_H_

#include <optional>

#include "absl/status/statusor.h"
#include "scheduler/core/draft.h"

namespace trainyard::core {

// The first answer to a request seen before; absent for a new one.
absl::StatusOr<std::optional<Reply>> FindAnswer(const State& state, const Command& command,
                                                int64_t now_us);

// Notes the answer on the draft's last event, so that both are durable together. A request that
// changed nothing is not noted: repeating it changes nothing either.
void RememberAnswer(const Reply& reply, Draft* draft);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_REQUESTS_H_
