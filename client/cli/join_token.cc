// trainyard join-token: a one-time token with which a machine's agent joins, and the command to
// paste there.
#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_view.h"
#include "client/cli/token_words.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

absl::Status JoinToken(Context* context, const Arguments& arguments) {
  v1::CreateJoinTokenRequest request;
  request.set_node_id(arguments.Word(0));
  request.set_request_id(context->request_id);
  google::protobuf::Duration ttl;
  if (absl::Status status = ReadTtl(arguments, &ttl); !status.ok()) return status;
  if (arguments.Has("ttl")) *request.mutable_ttl() = ttl;
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::JoinToken> token = (*client)->CreateJoinToken(request);
  if (!token.ok()) return token.status();
  Table table;
  table.headers = {"TOKEN", "EXPIRES", "COMMAND"};
  table.rows = {{token->secret(), ShortTime(token->expire_time()), token->command()}};
  PrintOne(&context->console(), context->format, *token, token->secret(),
           absl::StrCat(token->secret(), "\n"), table);
  context->console().Flush();
  if (!context->quiet && !context->format_given && !token->command().empty()) {
    context->console().ErrLine(absl::StrCat("on the machine, once, before ",
                                            ShortTime(token->expire_time()), ":\n  ",
                                            token->command()));
  }
  return absl::OkStatus();
}

}  // namespace

Command JoinTokenCommand() {
  Command command;
  command.words = "join-token";
  command.summary = "Make a one-time token for a machine to join the cluster.";
  command.examples = {"trainyard join-token gpu_1", "trainyard join-token gpu_1 --ttl 15m"};
  command.positionals = {{.name = "NODE", .required = false}};
  command.flags = {{.name = "ttl", .value = "D", .help = "how long it may be used"}};
  command.run = JoinToken;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
