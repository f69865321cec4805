// See identity.h.
#include "scheduler/api/identity.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/grant.h"
#include "common/sha256.h"

namespace trainyard::api {
namespace {

absl::Status Refused(absl::string_view what) {
  return MakeError(absl::StatusCode::kUnauthenticated, "UNAUTHENTICATED", what,
                   "give a valid token with --token or TRAINYARD_TOKEN; on the scheduler's own "
                   "machine the token file of its state folder is read without asking");
}

// An attempt speaks while one of its members is not released.
bool EpochLives(const core::RunPtr& run, uint64_t epoch) {
  if (run == nullptr || run->attempt().epoch() != epoch) return false;
  return std::any_of(run->attempt().members().begin(), run->attempt().members().end(),
                     [](const journal::v1::MemberRow& member) { return !member.released(); });
}

absl::StatusOr<Identity> IdentifyGrant(const Context& context, absl::string_view token) {
  absl::StatusOr<Grant> grant = VerifyGrant(token, context.secret, context.clock->Now());
  if (!grant.ok()) return grant.status();
  Identity identity;
  identity.grant_kind = grant->kind;
  identity.principal.name = grant->principal;
  identity.principal.project = grant->project;
  if (grant->kind != "attempt") return identity;
  if (!EpochLives(context.runtime->view().Run(grant->run_uid), grant->epoch)) {
    return Refused("the token is of an attempt that is over");
  }
  identity.run_uid = grant->run_uid;
  identity.epoch = grant->epoch;
  identity.principal.name = absl::StrCat(grant->run_uid, "/", grant->epoch);
  identity.principal.role = v1::ATTEMPT;
  return identity;
}

}  // namespace

absl::StatusOr<Identity> Identify(const Context& context, absl::string_view token) {
  if (token.empty()) return Refused("the call carries no token");
  if (absl::StartsWith(token, "tg_")) return IdentifyGrant(context, token);
  const runtime::View& view = context.runtime->view();
  const std::string hash = Sha256Of(token);
  Identity identity;
  if (const core::TokenPtr row = view.TokenByHash(hash); row != nullptr) {
    if (row->revoked()) return Refused("the token was revoked");
    if (row->is_join() && row->used()) return Refused("the join token was used already");
    if (row->expire_us() != 0 && row->expire_us() <= absl::ToUnixMicros(context.clock->Now())) {
      return Refused("the token has expired");
    }
    identity.is_join = row->is_join();
    identity.principal.name = row->role() == v1::AGENT ? row->node_id() : row->user();
    identity.principal.role = row->role();
    identity.principal.project = row->project();
    return identity;
  }
  return Refused("the token is unknown here");
}

}  // namespace trainyard::api
