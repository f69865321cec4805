// What was used, from the ledger and from what runs now; and the past as a trace to replay.
#ifndef TRAINYARD_SCHEDULER_API_USAGE_H_
#define TRAINYARD_SCHEDULER_API_USAGE_H_

#include "scheduler/api/context.h"
#include "trainyard/v1/queue.pb.h"

namespace trainyard::api {

// Rows rise by project, then user, day or job. Attempts that run count up to now.
absl::StatusOr<v1::GetUsageResponse> GetUsage(const Context& context,
                                              const core::Principal& principal,
                                              const v1::GetUsageRequest& request);

// Runs that have ended and held something, newest job first.
absl::StatusOr<v1::ExportHistoryResponse> ExportHistory(const Context& context,
                                                        const core::Principal& principal,
                                                        const v1::ExportHistoryRequest& request);

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_USAGE_H_
