// What the token commands share: roles by name, lifetimes, the table of tokens. One thread.
#ifndef TRAINYARD_CLIENT_CLI_TOKEN_WORDS_H_
#define TRAINYARD_CLIENT_CLI_TOKEN_WORDS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/arguments.h"
#include "client/cli/output.h"
#include "google/protobuf/duration.pb.h"
#include "trainyard/v1/admin.pb.h"

namespace trainyard::cli {

inline constexpr char kRoleChoices[] = "viewer|submitter|project-admin|admin";
// `text` is one of kRoleChoices.
v1::Role RoleOf(const std::string& text);
// --ttl into `duration`; unset when the flag is absent.
absl::Status ReadTtl(const Arguments& arguments, google::protobuf::Duration* duration);
Table TokenTable(const std::vector<const v1::Token*>& tokens);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_TOKEN_WORDS_H_
