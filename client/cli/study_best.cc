// trainyard study best: the best trials of a study, best first; with several metrics the Pareto
// front.
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/study_words.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

constexpr int kCountMax = 1000;

absl::Status Best(Context* context, const Arguments& arguments) {
  const absl::StatusOr<int64_t> count = arguments.Int("count", 0, 1, kCountMax);
  if (!count.ok()) return count.status();
  const absl::StatusOr<std::string> study = context->StudyNameOf(arguments.Word(0));
  if (!study.ok()) return study.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::ListBestTrialsRequest request;
  request.set_parent(*study);
  request.set_count(static_cast<int32_t>(*count));
  const absl::StatusOr<v1::ListBestTrialsResponse> response = (*client)->ListBestTrials(request);
  if (!response.ok()) return response.status();
  return PrintTrials(context, *study, {response->trials().begin(), response->trials().end()});
}

}  // namespace

Command StudyBestCommand() {
  Command command;
  command.words = "study best";
  command.summary = "Show the best trials of a study.";
  command.examples = {"trainyard study best lr_search",
                      "trainyard study best lr_search --count 5 -o json"};
  command.positionals = {{.name = "STUDY", .complete = Complete::kStudy}};
  command.flags = {{.name = "count",
                    .value = "N",
                    .help = "how many; default 1, of several metrics the whole Pareto front"}};
  command.run = Best;
  command.prints = true;
  return command;
}

}  // namespace trainyard::cli
