// Verbs of artifacts: grants for the store's HTTP, outputs of jobs, objects.
#ifndef TRAINYARD_SCHEDULER_API_ARTIFACTS_H_
#define TRAINYARD_SCHEDULER_API_ARTIFACTS_H_

#include "scheduler/api/context.h"
#include "trainyard/v1/artifact.pb.h"

namespace trainyard::api {

absl::StatusOr<v1::Grant> GetUploadGrant(const Context& context, const core::Principal& principal,
                                         const v1::GetUploadGrantRequest& request);
absl::StatusOr<v1::Grant> GetDownloadGrant(const Context& context, const core::Principal& principal,
                                           const v1::GetDownloadGrantRequest& request);
// Outputs of a job, of one trial of it, or of its best trial.
absl::StatusOr<v1::ListOutputsResponse> ListOutputs(const Context& context,
                                                    const core::Principal& principal,
                                                    const v1::ListOutputsRequest& request);
absl::StatusOr<v1::ListObjectsResponse> ListObjects(const Context& context,
                                                    const core::Principal& principal,
                                                    const v1::ListObjectsRequest& request);

// What a bearer token may do with the store: user tokens by role and project, grants in their
// project, and attempt tokens in their job's project as long as their epoch holds its members. An
// agent's own key opens nothing. UNAUTHENTICATED otherwise. Thread-safe.
absl::StatusOr<store::HttpServer::Access> AuthorizeStore(const Context& context,
                                                         absl::string_view bearer_token);

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_ARTIFACTS_H_
