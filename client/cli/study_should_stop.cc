// trainyard study should-stop: whether the stopping rule has given a trial up.
#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/output.h"
#include "client/cli/study_words.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

absl::Status ShouldStop(Context* context, const Arguments& arguments) {
  const absl::StatusOr<std::string> trial = TrialNameOf(context, arguments);
  if (!trial.ok()) return trial.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::ShouldStopRequest request;
  request.set_trial_name(*trial);
  const absl::StatusOr<v1::ShouldStopResponse> response = (*client)->ShouldStop(request);
  if (!response.ok()) return response.status();
  const std::string answer = response->should_stop() ? "stop" : "go on";
  PrintOne(&context->console(), context->format, *response, *trial,
           absl::StrCat(answer, response->reason().empty() ? "" : ": ", response->reason(), "\n"),
           {.headers = {"TRIAL", "ANSWER", "REASON"},
            .rows = {{arguments.Word(1), answer, response->reason()}}});
  return absl::OkStatus();
}

}  // namespace

Command StudyShouldStopCommand() {
  Command command;
  command.words = "study should-stop";
  command.summary = "Ask whether a trial should stop.";
  command.examples = {"trainyard study should-stop lr_search 3"};
  command.positionals = {{.name = "STUDY", .complete = Complete::kStudy}, {.name = "TRIAL"}};
  command.run = ShouldStop;
  command.prints = true;
  return command;
}

}  // namespace trainyard::cli
