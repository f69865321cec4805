// trainyard study ask: suggestions to try. The same client id gets its open trials again.
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/study_words.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

constexpr int kCountMax = 1000;

absl::Status Ask(Context* context, const Arguments& arguments) {
  const absl::StatusOr<int64_t> count = arguments.Int("count", 1, 1, kCountMax);
  if (!count.ok()) return count.status();
  const absl::StatusOr<std::string> study = context->StudyNameOf(arguments.Word(0));
  if (!study.ok()) return study.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::SuggestTrialsRequest request;
  request.set_parent(*study);
  request.set_count(static_cast<int32_t>(*count));
  request.set_client_id(arguments.Get("client-id"));
  request.set_request_id(context->request_id);
  const absl::StatusOr<v1::SuggestTrialsResponse> response = (*client)->SuggestTrials(request);
  if (!response.ok()) return response.status();
  return PrintTrials(context, *study, {response->trials().begin(), response->trials().end()});
}

}  // namespace

Command StudyAskCommand() {
  Command command;
  command.words = "study ask";
  command.summary = "Ask for trials to run.";
  command.examples = {"trainyard study ask lr_search",
                      "trainyard study ask lr_search --count 4 --client-id worker_1 -o jsonl"};
  command.positionals = {{.name = "STUDY", .complete = Complete::kStudy}};
  command.flags = {
      {.name = "count", .value = "N", .help = "how many; default 1"},
      {.name = "client-id",
       .value = "ID",
       .help = "who asks; asking again gives the same open trials, so every worker needs its own"}};
  command.run = Ask;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
