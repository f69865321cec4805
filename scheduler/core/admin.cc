// See admin.h.
#include "scheduler/core/admin.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/sha256.h"
#include "scheduler/core/core.h"

namespace trainyard::core {
namespace {

absl::Status CheckAdmin(const Draft& draft) {
  return CheckAccess(draft.principal(), Action::kAdminister, "", "");
}

void EmitProject(absl::string_view project, absl::string_view run_as, absl::string_view team,
                 Draft* draft) {
  records::Event event;
  event.mutable_project_created()->mutable_project()->set_project_id(std::string(project));
  event.mutable_project_created()->mutable_project()->set_run_as(std::string(run_as));
  event.mutable_project_created()->mutable_project()->set_team(std::string(team));
  draft->EmitUnread(std::move(event));
}

}  // namespace

absl::StatusOr<Reply> Start(const StartServer& command, Draft* draft) {
  if (!draft->principal().is_system) {
    return CheckAccess(Principal(), Action::kAdminister, "", "");
  }
  const uint64_t last = draft->Server().incarnation();
  records::Event event;
  event.mutable_server_started()->set_incarnation(command.incarnation > last ? command.incarnation
                                                                             : last + 1);
  event.mutable_server_started()->set_version(command.version);
  draft->Emit(std::move(event));
  if (draft->state().projects.empty()) EmitProject("default", "", "", draft);
  return Reply();
}

absl::StatusOr<Reply> MakeProject(const CreateProject& command, Draft* draft) {
  if (absl::Status status = CheckAdmin(*draft); !status.ok()) return status;
  if (absl::Status status = CheckId("project", command.project); !status.ok()) return status;
  const auto& projects = draft->state().projects;
  if (!command.team.empty()) {
    if (absl::Status status = CheckId("team", command.team); !status.ok()) return status;
  }
  Reply reply;
  reply.name = FormatProject(command.project);
  if (const auto old = projects.find(command.project); old != projects.end()) {
    if (old->second.run_as() == command.run_as && old->second.team() == command.team)
      return reply;  // it is as wished
    return MakeError(absl::StatusCode::kAlreadyExists, "ALREADY_EXISTS",
                     absl::StrCat("there is already a project ", command.project),
                     "choose another name");
  }
  EmitProject(command.project, command.run_as, command.team, draft);
  return reply;
}

absl::StatusOr<Reply> PutTier(const SetTier& command, Draft* draft) {
  if (absl::Status status = CheckAdmin(*draft); !status.ok()) return status;
  if (absl::Status status = CheckId("tier", command.tier.name()); !status.ok()) return status;
  Reply reply;
  reply.name = command.tier.name();
  const auto& tiers = draft->state().tiers;
  const auto old = tiers.find(command.tier.name());
  if (old != tiers.end() && old->second.SerializeAsString() == command.tier.SerializeAsString()) {
    return reply;
  }
  records::Event event;
  *event.mutable_tier_set()->mutable_tier() = command.tier;
  draft->EmitUnread(std::move(event));
  return reply;
}

absl::StatusOr<Reply> AddToken(const CreateToken& command, Draft* draft) {
  if (absl::Status status = CheckAdmin(*draft); !status.ok()) return status;
  if (command.token.id().empty() || command.token.hash().size() != kDigestBytes) {
    return MakeError(absl::StatusCode::kInvalidArgument, "INVALID_ARGUMENT",
                     "a token needs an id and the SHA-256 of its secret", "");
  }
  if (draft->state().tokens.count(command.token.id()) > 0 ||
      draft->state().token_by_hash.contains(command.token.hash())) {
    return MakeError(absl::StatusCode::kAlreadyExists, "ALREADY_EXISTS",
                     absl::StrCat("there is already a token ", command.token.id()),
                     "ask for a token again");
  }
  records::Event event;
  *event.mutable_token_created()->mutable_token() = command.token;
  draft->EmitUnread(std::move(event));
  Reply reply;
  reply.name = command.token.id();
  return reply;
}

absl::StatusOr<Reply> DropToken(const RevokeToken& command, Draft* draft) {
  if (absl::Status status = CheckAdmin(*draft); !status.ok()) return status;
  const TokenPtr token = draft->Token(command.id);
  if (token == nullptr) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat("there is no token ", command.id),
                     "list the tokens to see their ids");
  }
  Reply reply;
  reply.name = command.id;
  if (token->revoked()) return reply;
  records::Event event;
  event.mutable_token_revoked()->set_id(command.id);
  draft->EmitUnread(std::move(event));
  return reply;
}

}  // namespace trainyard::core
