// trainyard study trials: all trials of a study.
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/study_words.h"
#include "client/cli/trial_view.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

absl::Status Trials(Context* context, const Arguments& arguments) {
  const absl::StatusOr<std::string> study = context->StudyNameOf(arguments.Word(0));
  if (!study.ok()) return study.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<std::vector<v1::Trial>> trials =
      FetchTrialsOf(*client, *study, /*with_measurements=*/false);
  if (!trials.ok()) return trials.status();
  return PrintTrials(context, *study, *trials);
}

}  // namespace

Command StudyTrialsCommand() {
  Command command;
  command.words = "study trials";
  command.summary = "List the trials of a study.";
  command.examples = {"trainyard study trials lr_search",
                      "trainyard study trials lr_search -o csv"};
  command.positionals = {{.name = "STUDY", .complete = Complete::kStudy}};
  command.run = Trials;
  command.prints = true;
  return command;
}

}  // namespace trainyard::cli
