// trainyard token create: a token for a person or a program. The secret is shown this once.
#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/token_words.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

absl::Status Create(Context* context, const Arguments& arguments) {
  v1::CreateTokenRequest request;
  request.set_user(arguments.Word(0));
  request.set_role(RoleOf(arguments.Get("role", "submitter")));
  request.set_request_id(context->request_id);
  google::protobuf::Duration ttl;
  if (absl::Status status = ReadTtl(arguments, &ttl); !status.ok()) return status;
  if (arguments.Has("ttl")) *request.mutable_ttl() = ttl;
  const absl::StatusOr<std::string> project = context->Project();
  if (!project.ok()) return project.status();
  if (request.role() != v1::ADMIN) request.set_project(*project);
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::Token> token = (*client)->CreateToken(request);
  if (!token.ok()) return token.status();
  PrintOne(&context->console(), context->format, *token, token->id(),
           absl::StrCat(token->secret(), "\n"), TokenTable({&*token}));
  context->console().Flush();
  if (!context->quiet && !context->format_given) {
    context->console().ErrLine(
        absl::StrCat("id ", token->id(),
                     "; this is the only time the token is shown. Its owner: "
                     "trainyard config set token TOKEN"));
  }
  return absl::OkStatus();
}

}  // namespace

Command TokenCreateCommand() {
  Command command;
  command.words = "token create";
  command.summary = "Make a token for a user; it is shown once.";
  command.examples = {"trainyard token create ann --role submitter --ttl 90d"};
  command.positionals = {{.name = "USER"}};
  command.flags = {
      {.name = "role", .value = "ROLE", .help = "default submitter", .choices = kRoleChoices},
      {.name = "ttl", .value = "D", .help = "how long it is valid, for example 90d"}};
  command.run = Create;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
