// See token_words.h.
#include "client/cli/token_words.h"

#include "absl/time/clock.h"
#include "client/cli/job_view.h"

namespace trainyard::cli {

v1::Role RoleOf(const std::string& text) {
  if (text == "viewer") return v1::VIEWER;
  if (text == "submitter") return v1::SUBMITTER;
  if (text == "project-admin") return v1::PROJECT_ADMIN;
  if (text == "admin") return v1::ADMIN;
  return v1::ROLE_UNSPECIFIED;
}

absl::Status ReadTtl(const Arguments& arguments, google::protobuf::Duration* duration) {
  const absl::StatusOr<absl::Duration> ttl = arguments.Duration("ttl", absl::ZeroDuration());
  if (!ttl.ok()) return ttl.status();
  if (arguments.Has("ttl")) duration->set_seconds(absl::ToInt64Seconds(*ttl));
  return absl::OkStatus();
}

namespace {

std::string StateOf(const v1::Token& token) {
  if (token.revoked()) return "REVOKED";
  const bool over = token.has_expire_time() && TimeOf(token.expire_time()) <= absl::Now();
  return over ? "EXPIRED" : "VALID";
}

}  // namespace

Table TokenTable(const std::vector<const v1::Token*>& tokens) {
  Table table;
  table.headers = {"TOKEN", "USER", "ROLE", "PROJECT", "EXPIRES", "STATE"};
  for (const v1::Token* token : tokens) {
    table.rows.push_back({token->id(), token->user(), v1::Role_Name(token->role()),
                          token->project(), ShortTime(token->expire_time()), StateOf(*token)});
    table.names.push_back(token->id());
  }
  return table;
}

}  // namespace trainyard::cli
