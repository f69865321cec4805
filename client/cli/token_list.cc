// trainyard token list: tokens by id; secrets are never shown again.
#include <vector>

#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/token_words.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

absl::Status ListTokens(Context* context, const Arguments&) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::ListTokensResponse> tokens = (*client)->ListTokens({});
  if (!tokens.ok()) return tokens.status();
  std::vector<const v1::Token*> pointers;
  for (const v1::Token& token : tokens->tokens()) pointers.push_back(&token);
  PrintList(&context->console(), context->format,
            {{pointers.begin(), pointers.end()}, TokenTable(pointers)});
  return absl::OkStatus();
}

}  // namespace

Command TokenListCommand() {
  Command command;
  command.words = "token list";
  command.summary = "List tokens: whose, what role, until when.";
  command.examples = {"trainyard token list"};
  command.run = ListTokens;
  command.prints = true;
  return command;
}

}  // namespace trainyard::cli
