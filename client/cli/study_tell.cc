// trainyard study tell: a measurement of a running trial; answers whether it should stop.
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/output.h"
#include "client/cli/study_words.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

absl::Status Tell(Context* context, const Arguments& arguments) {
  const absl::StatusOr<v1::Measurement> measurement = MeasurementOf(arguments);
  if (!measurement.ok()) return measurement.status();
  if (measurement->metrics().empty()) {
    return UsageError("--metric is missing", "write for example --metric loss=0.31");
  }
  const absl::StatusOr<std::string> trial = TrialNameOf(context, arguments);
  if (!trial.ok()) return trial.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::AddMeasurementRequest request;
  request.set_trial_name(*trial);
  *request.mutable_measurement() = *measurement;
  request.set_request_id(context->request_id);
  const absl::StatusOr<v1::AddMeasurementResponse> response = (*client)->AddMeasurement(request);
  if (!response.ok()) return response.status();
  const std::string answer = response->should_stop() ? "stop" : "go on";
  PrintOne(&context->console(), context->format, *response, *trial, answer + "\n",
           {.headers = {"TRIAL", "ANSWER"}, .rows = {{arguments.Word(1), answer}}});
  return absl::OkStatus();
}

}  // namespace

Command StudyTellCommand() {
  Command command;
  command.words = "study tell";
  command.summary = "Tell what a trial measured; the answer says whether to stop it.";
  command.examples = {"trainyard study tell lr_search 3 --step 5 --metric loss=0.31"};
  command.positionals = {{.name = "STUDY", .complete = Complete::kStudy}, {.name = "TRIAL"}};
  command.flags = MeasurementFlags();
  command.run = Tell;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
