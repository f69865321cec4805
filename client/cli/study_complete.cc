// trainyard study complete: ends a trial with its final values, or as infeasible.
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/study_words.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

absl::Status CompleteTrial(Context* context, const Arguments& arguments) {
  const absl::StatusOr<v1::Measurement> measurement = MeasurementOf(arguments);
  if (!measurement.ok()) return measurement.status();
  const absl::StatusOr<std::string> trial = TrialNameOf(context, arguments);
  if (!trial.ok()) return trial.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::CompleteTrialRequest request;
  request.set_name(*trial);
  if (measurement->metrics_size() > 0) *request.mutable_final_measurement() = *measurement;
  request.set_infeasible(arguments.Has("infeasible"));
  request.set_infeasible_reason(arguments.Get("infeasible"));
  request.set_request_id(context->request_id);
  const absl::StatusOr<v1::Trial> done = (*client)->CompleteTrial(request);
  if (!done.ok()) return done.status();
  return PrintTrials(context, trial->substr(0, trial->find("/trials/")), {*done});
}

}  // namespace

Command StudyCompleteCommand() {
  Command command;
  command.words = "study complete";
  command.summary = "End a trial with its final metrics, or as infeasible.";
  command.examples = {"trainyard study complete lr_search 3 --metric loss=0.2",
                      "trainyard study complete lr_search 4 --infeasible 'out of memory'"};
  command.positionals = {{.name = "STUDY", .complete = Complete::kStudy}, {.name = "TRIAL"}};
  command.flags = MeasurementFlags();
  command.flags.push_back(
      {.name = "infeasible", .value = "WHY", .help = "the trial could not be done"});
  command.run = CompleteTrial;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
