// Verbs of jobs. Names, access and limits as the messages of trainyard/v1/job.proto say.
#ifndef TRAINYARD_SCHEDULER_API_JOBS_H_
#define TRAINYARD_SCHEDULER_API_JOBS_H_

#include "scheduler/api/context.h"
#include "trainyard/v1/job.pb.h"
#include "trainyard/v1/queue.pb.h"

namespace trainyard::api {

void SubmitJob(const Context& context, const core::Principal& principal,
               const v1::SubmitJobRequest& request, Done<v1::Job> done);
// All specs are checked before the first is submitted; an error after that names its request.
void SubmitJobs(const Context& context, const core::Principal& principal,
                const v1::SubmitJobsRequest& request, Done<v1::SubmitJobsResponse> done);
// What would become of the job if it were submitted now; nothing is changed.
void PlanJob(const Context& context, const core::Principal& principal,
             const v1::PlanJobRequest& request, Done<v1::ExplainJobResponse> done);
void CancelJob(const Context& context, const core::Principal& principal,
               const v1::CancelJobRequest& request, Done<v1::Job> done);
void UpdateJob(const Context& context, const core::Principal& principal,
               const v1::UpdateJobRequest& request, Done<v1::Job> done);
void PauseJob(const Context& context, const core::Principal& principal,
              const v1::PauseJobRequest& request, Done<v1::Job> done);
void ResumeJob(const Context& context, const core::Principal& principal,
               const v1::ResumeJobRequest& request, Done<v1::Job> done);

absl::StatusOr<v1::Job> GetJob(const Context& context, const core::Principal& principal,
                               const v1::GetJobRequest& request);
absl::StatusOr<v1::ListJobsResponse> ListJobs(const Context& context,
                                              const core::Principal& principal,
                                              const v1::ListJobsRequest& request);
void ExplainJob(const Context& context, const core::Principal& principal,
                const v1::ExplainJobRequest& request, Done<v1::ExplainJobResponse> done);
absl::StatusOr<v1::ListMetricsResponse> ListMetrics(const Context& context,
                                                    const core::Principal& principal,
                                                    const v1::ListMetricsRequest& request);

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_JOBS_H_
