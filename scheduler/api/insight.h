// What a study taught: importance of the parameters, predicted optimum. Computed anew at each call
// from the published view, on the caller's thread (some 0.1 s for 10,000 trials). Thread-safe.
#ifndef TRAINYARD_SCHEDULER_API_INSIGHT_H_
#define TRAINYARD_SCHEDULER_API_INSIGHT_H_

#include "absl/status/statusor.h"
#include "scheduler/api/context.h"
#include "trainyard/v1/insight.pb.h"

namespace trainyard::api {

absl::StatusOr<v1::StudyInsight> GetStudyInsight(const Context& context,
                                                 const core::Principal& principal,
                                                 const v1::GetStudyInsightRequest& request);

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_INSIGHT_H_
