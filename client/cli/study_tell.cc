// trainyard study tell: a measurement of a running trial; answers whether it should stop.
#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/output.h"
#include "client/cli/study_words.h"
#include "client/cli/trial_view.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

// What is told of a step again takes the place of what was told before.
void NoteReplaced(Context* context, client::Client* client, const std::string& trial,
                  const v1::Measurement& measurement) {
  v1::GetTrialRequest request;
  if (!measurement.has_step()) return;
  request.set_name(trial);
  const absl::StatusOr<v1::Trial> known = client->GetTrial(request);
  if (!known.ok()) return;  // the telling says why
  for (const v1::Measurement& old : known->measurements()) {
    if (old.step() != measurement.step()) continue;
    for (const v1::MetricValue& now : measurement.metrics()) {
      for (const v1::MetricValue& before : old.metrics()) {
        if (before.metric_id() != now.metric_id() || before.value() == now.value()) continue;
        context->console().Note(absl::StrCat(now.metric_id(), " of step ", old.step(), " was ",
                                             NumberText(before.value()), "; it is replaced"));
      }
    }
  }
}

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
  if (!context->quiet) NoteReplaced(context, *client, *trial, *measurement);
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
  command.notes = {"A value told again for the same step replaces the one before."};
  command.run = Tell;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
