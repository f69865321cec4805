// NodeService, ArtifactService and AdminService of the client; see client.h.
#include "client/sdk/call.h"

namespace trainyard::client {

absl::StatusOr<v1::ListNodesResponse> Client::ListNodes(v1::ListNodesRequest request) {
  return CallUnary(connection_.get(), &Connection::nodes, &v1::NodeService::Stub::ListNodes,
                   std::move(request));
}
absl::StatusOr<v1::Node> Client::GetNode(v1::GetNodeRequest request) {
  return CallUnary(connection_.get(), &Connection::nodes, &v1::NodeService::Stub::GetNode,
                   std::move(request));
}
absl::StatusOr<v1::Node> Client::DrainNode(v1::DrainNodeRequest request) {
  return CallUnary(connection_.get(), &Connection::nodes, &v1::NodeService::Stub::DrainNode,
                   std::move(request));
}
absl::StatusOr<v1::Node> Client::RevokeNode(v1::RevokeNodeRequest request) {
  return CallUnary(connection_.get(), &Connection::nodes, &v1::NodeService::Stub::RevokeNode,
                   std::move(request));
}
absl::StatusOr<v1::Grant> Client::GetUploadGrant(v1::GetUploadGrantRequest request) {
  return CallUnary(connection_.get(), &Connection::artifacts,
                   &v1::ArtifactService::Stub::GetUploadGrant, std::move(request));
}
absl::StatusOr<v1::Grant> Client::GetDownloadGrant(v1::GetDownloadGrantRequest request) {
  return CallUnary(connection_.get(), &Connection::artifacts,
                   &v1::ArtifactService::Stub::GetDownloadGrant, std::move(request));
}
absl::StatusOr<v1::ListOutputsResponse> Client::ListOutputs(v1::ListOutputsRequest request) {
  return CallUnary(connection_.get(), &Connection::artifacts,
                   &v1::ArtifactService::Stub::ListOutputs, std::move(request));
}
absl::StatusOr<v1::ListObjectsResponse> Client::ListObjects(v1::ListObjectsRequest request) {
  return CallUnary(connection_.get(), &Connection::artifacts,
                   &v1::ArtifactService::Stub::ListObjects, std::move(request));
}
absl::StatusOr<v1::ServerInfo> Client::GetServerInfo(v1::GetServerInfoRequest request) {
  return CallUnary(connection_.get(), &Connection::admin, &v1::AdminService::Stub::GetServerInfo,
                   std::move(request));
}
absl::StatusOr<v1::Token> Client::CreateToken(v1::CreateTokenRequest request) {
  return CallUnary(connection_.get(), &Connection::admin, &v1::AdminService::Stub::CreateToken,
                   std::move(request));
}
absl::StatusOr<v1::ListTokensResponse> Client::ListTokens(v1::ListTokensRequest request) {
  return CallUnary(connection_.get(), &Connection::admin, &v1::AdminService::Stub::ListTokens,
                   std::move(request));
}
absl::Status Client::RevokeToken(v1::RevokeTokenRequest request) {
  return CallUnary(connection_.get(), &Connection::admin, &v1::AdminService::Stub::RevokeToken,
                   std::move(request))
      .status();
}
absl::StatusOr<v1::JoinToken> Client::CreateJoinToken(v1::CreateJoinTokenRequest request) {
  return CallUnary(connection_.get(), &Connection::admin, &v1::AdminService::Stub::CreateJoinToken,
                   std::move(request));
}
absl::StatusOr<v1::ListTiersResponse> Client::ListTiers(v1::ListTiersRequest request) {
  return CallUnary(connection_.get(), &Connection::admin, &v1::AdminService::Stub::ListTiers,
                   std::move(request));
}
absl::StatusOr<v1::ScaleTier> Client::SetTier(v1::SetTierRequest request) {
  return CallUnary(connection_.get(), &Connection::admin, &v1::AdminService::Stub::SetTier,
                   std::move(request));
}
absl::StatusOr<v1::Project> Client::CreateProject(v1::CreateProjectRequest request) {
  return CallUnary(connection_.get(), &Connection::admin, &v1::AdminService::Stub::CreateProject,
                   std::move(request));
}
absl::StatusOr<v1::Project> Client::UpdateProject(v1::UpdateProjectRequest request) {
  return CallUnary(connection_.get(), &Connection::admin, &v1::AdminService::Stub::UpdateProject,
                   std::move(request));
}
absl::StatusOr<v1::ListProjectsResponse> Client::ListProjects(v1::ListProjectsRequest request) {
  return CallUnary(connection_.get(), &Connection::admin, &v1::AdminService::Stub::ListProjects,
                   std::move(request));
}

}  // namespace trainyard::client
