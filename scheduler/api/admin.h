// Verbs of administration: tokens, tiers, projects, what this server is.
#ifndef TRAINYARD_SCHEDULER_API_ADMIN_H_
#define TRAINYARD_SCHEDULER_API_ADMIN_H_

#include "google/protobuf/empty.pb.h"
#include "scheduler/api/context.h"
#include "trainyard/v1/admin.pb.h"

namespace trainyard::api {

v1::ServerInfo GetServerInfo(const Context& context, const core::Principal& principal);
// The secret is in the answer alone; a repeated request id gives the same one again.
void CreateToken(const Context& context, const core::Principal& principal,
                 const v1::CreateTokenRequest& request, Done<v1::Token> done);
absl::StatusOr<v1::ListTokensResponse> ListTokens(const Context& context,
                                                  const core::Principal& principal,
                                                  const v1::ListTokensRequest& request);
void RevokeToken(const Context& context, const core::Principal& principal,
                 const v1::RevokeTokenRequest& request, Done<google::protobuf::Empty> done);
void CreateJoinToken(const Context& context, const core::Principal& principal,
                     const v1::CreateJoinTokenRequest& request, Done<v1::JoinToken> done);
v1::ListTiersResponse ListTiers(const Context& context);
void SetTier(const Context& context, const core::Principal& principal,
             const v1::SetTierRequest& request, Done<v1::ScaleTier> done);
void CreateProject(const Context& context, const core::Principal& principal,
                   const v1::CreateProjectRequest& request, Done<v1::Project> done);
void UpdateProject(const Context& context, const core::Principal& principal,
                   const v1::UpdateProjectRequest& request, Done<v1::Project> done);
absl::StatusOr<v1::ListProjectsResponse> ListProjects(const Context& context,
                                                      const core::Principal& principal,
                                                      const v1::ListProjectsRequest& request);

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_ADMIN_H_
