// trainyard token revoke: from now on the token opens nothing.
#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

absl::Status Revoke(Context* context, const Arguments& arguments) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::RevokeTokenRequest request;
  request.set_id(arguments.Word(0));
  request.set_request_id(context->request_id);
  const absl::Status status = (*client)->RevokeToken(request);
  if (status.ok() && !context->quiet) {
    context->console().ErrLine(absl::StrCat(arguments.Word(0), ": revoked"));
  }
  return status;
}

}  // namespace

Command TokenRevokeCommand() {
  Command command;
  command.words = "token revoke";
  command.summary = "Revoke a token by its id.";
  command.examples = {"trainyard token revoke 4f2a"};
  command.positionals = {{.name = "ID", .complete = Complete::kToken}};
  command.run = Revoke;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
