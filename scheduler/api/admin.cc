// See admin.h.
#include "scheduler/api/admin.h"

#include "absl/strings/str_cat.h"
#include "common/certificate.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/random.h"
#include "common/sha256.h"
#include "scheduler/api/convert.h"

namespace trainyard::api {
namespace {

constexpr absl::Duration kJoinTokenLife = absl::Hours(1);
constexpr absl::Duration kTokenLifeMax = absl::Hours(24 * 365);

absl::Status MayAdminister(const core::Principal& principal) {
  return core::CheckAccess(principal, core::Action::kAdminister, "", "");
}

// A secret that a repeated request id makes again, so that its first answer may be lost. Without a
// request id it is random.
std::string SecretFor(const Context& context, const core::Principal& principal,
                      absl::string_view request_id) {
  if (request_id.empty()) return NewSecretToken();
  return absl::StrCat(
      "ty_",
      HexOf(HmacSha256(context.secret, absl::StrCat("token\n", principal.name, "\n", request_id))));
}

absl::StatusOr<int64_t> ExpireUs(const Context& context, const google::protobuf::Duration& ttl,
                                 absl::Duration otherwise) {
  const absl::Duration asked = absl::Seconds(ttl.seconds()) + absl::Nanoseconds(ttl.nanos());
  if (asked < absl::ZeroDuration() || asked > kTokenLifeMax) {
    return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                     "a token lives from one second to 365 days", "give another ttl", "ttl");
  }
  if (asked == absl::ZeroDuration() && otherwise == absl::InfiniteDuration()) return 0;
  return absl::ToUnixMicros(context.clock->Now() +
                            (asked == absl::ZeroDuration() ? otherwise : asked));
}

v1::Token TokenOf(const journal::v1::TokenRow& row) {
  v1::Token token;
  token.set_id(row.id());
  token.set_user(row.role() == v1::AGENT ? row.node_id() : row.user());
  token.set_role(row.role());
  token.set_project(row.project());
  if (row.expire_us() != 0) SetTime(row.expire_us(), token.mutable_expire_time());
  token.set_revoked(row.revoked() || row.used());
  return token;
}

}  // namespace

v1::ServerInfo GetServerInfo(const Context& context, const core::Principal& principal) {
  v1::ServerInfo info;
  info.set_version(context.version);
  for (const char* capability : {"jobs.v1", "studies.v1", "artifacts.v1", "watch.v1", "logs.v1"}) {
    info.add_capabilities(capability);
  }
  info.set_incarnation(context.runtime->view().incarnation());
  info.set_http_address(context.http_address);
  SetTime(absl::ToUnixMicros(context.start_time), info.mutable_start_time());
  info.set_principal(principal.name);
  info.set_role(principal.role);
  return info;
}

void CreateToken(const Context& context, const core::Principal& principal,
                 const v1::CreateTokenRequest& request, Done<v1::Token> done) {
  absl::Status status = MayAdminister(principal);
  if (status.ok()) status = CheckId("user", request.user());
  if (!status.ok()) return done(status);
  const bool of_project = request.role() == v1::VIEWER || request.role() == v1::SUBMITTER ||
                          request.role() == v1::PROJECT_ADMIN;
  if (!of_project && request.role() != v1::ADMIN) {
    return done(MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                          "a user's token has the role VIEWER, SUBMITTER, PROJECT_ADMIN or ADMIN",
                          "choose one of them; agents get theirs with a join token", "role"));
  }
  if (!request.project().empty()) {
    status = CheckProject(context.runtime->view(), request.project());
    if (!status.ok()) return done(status);
  }
  absl::StatusOr<int64_t> expire_us = ExpireUs(context, request.ttl(), absl::InfiniteDuration());
  if (!expire_us.ok()) return done(expire_us.status());
  const std::string secret = SecretFor(context, principal, request.request_id());
  core::CreateToken body;
  body.token.set_id(absl::StrCat("t", HexOf(Sha256Of(secret)).substr(0, 12)));
  body.token.set_user(request.user());
  body.token.set_role(request.role());
  body.token.set_project(request.project());
  body.token.set_hash(Sha256Of(secret));
  body.token.set_expire_us(*expire_us);
  const journal::v1::TokenRow row = body.token;
  context.runtime->Post(MakeCommand(principal, request.request_id(), request, std::move(body)),
                        [secret, row, done](const absl::StatusOr<core::Reply>& reply) {
                          if (!reply.ok()) return done(reply.status());
                          v1::Token token = TokenOf(row);
                          token.set_secret(secret);
                          done(std::move(token));
                        });
}

absl::StatusOr<v1::ListTokensResponse> ListTokens(const Context& context,
                                                  const core::Principal& principal,
                                                  const v1::ListTokensRequest& /*request*/) {
  absl::Status status = MayAdminister(principal);
  if (!status.ok()) return status;
  v1::ListTokensResponse response;
  for (const core::TokenPtr& row : context.runtime->view().Tokens()) {
    *response.add_tokens() = TokenOf(*row);
  }
  return response;
}

void RevokeToken(const Context& context, const core::Principal& principal,
                 const v1::RevokeTokenRequest& request, Done<google::protobuf::Empty> done) {
  absl::Status status = MayAdminister(principal);
  if (!status.ok()) return done(status);
  context.runtime->Post(
      MakeCommand(principal, request.request_id(), request, core::RevokeToken{request.id()}),
      [done](const absl::StatusOr<core::Reply>& reply) {
        if (!reply.ok()) return done(reply.status());
        done(google::protobuf::Empty());
      });
}

void CreateJoinToken(const Context& context, const core::Principal& principal,
                     const v1::CreateJoinTokenRequest& request, Done<v1::JoinToken> done) {
  absl::Status status = MayAdminister(principal);
  if (status.ok() && !request.node_id().empty()) status = CheckId("node_id", request.node_id());
  if (!status.ok()) return done(status);
  absl::StatusOr<int64_t> expire_us = ExpireUs(context, request.ttl(), kJoinTokenLife);
  if (!expire_us.ok()) return done(expire_us.status());
  const std::string secret = SecretFor(context, principal, request.request_id());
  core::CreateToken body;
  body.token.set_id(absl::StrCat("j", HexOf(Sha256Of(secret)).substr(0, 12)));
  body.token.set_role(v1::AGENT);
  body.token.set_is_join(true);
  body.token.set_node_id(request.node_id());
  body.token.set_hash(Sha256Of(secret));
  body.token.set_expire_us(*expire_us);
  context.runtime->Post(
      MakeCommand(principal, request.request_id(), request, std::move(body)),
      [context, secret, expire = *expire_us, done](const absl::StatusOr<core::Reply>& reply) {
        if (!reply.ok()) return done(reply.status());
        v1::JoinToken token;
        token.set_secret(JoinTokenText(secret, PinOfPem(context.ca_certificate)));
        SetTime(expire, token.mutable_expire_time());
        token.set_command(absl::StrCat("trainyard-agent --scheduler=", context.join_address,
                                       " --join_token_file=FILE --work_dir=FOLDER"));
        done(std::move(token));
      });
}

v1::ListTiersResponse ListTiers(const Context& context) {
  v1::ListTiersResponse response;
  for (const v1::ScaleTier& tier : context.runtime->view().Tiers()) {
    *response.add_tiers() = tier;
  }
  return response;
}

void SetTier(const Context& context, const core::Principal& principal,
             const v1::SetTierRequest& request, Done<v1::ScaleTier> done) {
  absl::Status status = MayAdminister(principal);
  if (status.ok()) status = CheckId("tier", request.tier().name());
  if (!status.ok()) return done(status);
  context.runtime->Post(
      MakeCommand(principal, request.request_id(), request, core::SetTier{request.tier()}),
      [tier = request.tier(), done](const absl::StatusOr<core::Reply>& reply) {
        if (!reply.ok()) return done(reply.status());
        done(tier);
      });
}

void CreateProject(const Context& context, const core::Principal& principal,
                   const v1::CreateProjectRequest& request, Done<v1::Project> done) {
  absl::Status status = MayAdminister(principal);
  if (status.ok()) status = CheckId("project_id", request.project_id());
  if (!status.ok()) return done(status);
  context.runtime->Post(
      MakeCommand(principal, request.request_id(), request,
                  core::CreateProject{request.project_id(), request.run_as(), request.team()}),
      [request, done](const absl::StatusOr<core::Reply>& reply) {
        if (!reply.ok()) return done(reply.status());
        v1::Project project;
        project.set_name(FormatProject(request.project_id()));
        project.set_run_as(request.run_as());
        project.set_team(request.team());
        done(std::move(project));
      });
}

void UpdateProject(const Context& context, const core::Principal& principal,
                   const v1::UpdateProjectRequest& request, Done<v1::Project> done) {
  absl::Status status = MayAdminister(principal);
  if (!status.ok()) return done(status);
  absl::StatusOr<std::string> id = ParseProject(request.project().name());
  if (!id.ok()) return done(id.status());
  core::SetProject body;
  body.project.set_project_id(*id);
  body.project.set_run_as(request.project().run_as());
  body.project.set_team(request.project().team());
  context.runtime->Post(
      MakeCommand(principal, request.request_id(), request, std::move(body)),
      [project = request.project(), done](const absl::StatusOr<core::Reply>& reply) {
        if (!reply.ok()) return done(reply.status());
        done(project);
      });
}

absl::StatusOr<v1::ListProjectsResponse> ListProjects(const Context& context,
                                                      const core::Principal& principal,
                                                      const v1::ListProjectsRequest& /*request*/) {
  v1::ListProjectsResponse response;
  for (const journal::v1::ProjectRow& row : context.runtime->view().Projects()) {
    if (!core::CheckAccess(principal, core::Action::kRead, row.project_id(), "").ok()) continue;
    v1::Project* project = response.add_projects();
    project->set_name(FormatProject(row.project_id()));
    project->set_run_as(row.run_as());
    project->set_team(row.team());
  }
  return response;
}

}  // namespace trainyard::api
