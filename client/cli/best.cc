// trainyard best: the best trial of a tuning job, its parameters and everything it measured last.
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_parts.h"
#include "client/cli/output.h"
#include "client/cli/trial_view.h"
#include "client/cli/yaml.h"
#include "client/sdk/client.h"
#include "common/errors.h"

namespace trainyard::cli {
namespace {

using Metrics = std::map<std::string, double>;

// The value of every metric at the step of the measurement that the trial is judged by; the last
// value of those that were not reported there.
absl::StatusOr<Metrics> MetricsOf(client::Client* client, const v1::Job& job,
                                  const v1::Trial& trial) {
  v1::ListMetricsRequest request;
  request.set_name(job.name());
  request.set_trial(trial.id());
  const absl::StatusOr<v1::ListMetricsResponse> response = client->ListMetrics(request);
  if (!response.ok()) return response.status();
  const int64_t chosen = trial.final_measurement().step();
  std::map<std::string, int64_t> steps;
  Metrics metrics;
  for (const v1::MetricPoint& point : response->points()) {
    const auto known = steps.find(point.name());
    const bool later = known != steps.end() && known->second > point.step();
    const bool decided = known != steps.end() && known->second == chosen;
    if ((later || decided) && point.step() != chosen) continue;
    steps[point.name()] = point.step();
    metrics[point.name()] = point.value();
  }
  for (const v1::MetricValue& value : trial.final_measurement().metrics()) {
    metrics[value.metric_id()] = value.value();
  }
  return metrics;
}

std::string Text(const v1::Trial& trial, const Metrics& metrics) {
  std::string out = absl::StrCat("trial:  ", trial.id(), "\n");
  if (!StepText(trial).empty()) absl::StrAppend(&out, "step:   ", StepText(trial), "\n");
  absl::StrAppend(&out, "parameters:\n");
  for (const v1::ParameterValue& value : trial.parameters()) {
    absl::StrAppendFormat(&out, "  %-20s %s\n", value.parameter_id(), ValueText(value));
  }
  absl::StrAppend(&out, "metrics:\n");
  for (const auto& [name, value] : metrics) {
    absl::StrAppendFormat(&out, "  %-20s %s\n", name, NumberText(value));
  }
  return out;
}

// The trial's own JSON with "lastMetrics" beside it.
nlohmann::ordered_json Json(const v1::Trial& trial, const Metrics& metrics) {
  auto json = nlohmann::ordered_json::parse(JsonOf(trial, /*indented=*/false), nullptr, false);
  json["lastMetrics"] = metrics;
  return json;
}

void Print(Context* context, const v1::Trial& trial, const Metrics& metrics,
           const v1::StudySpec& spec) {
  Console& console = context->console();
  switch (context->format) {
    case Format::kJson:
      return console.OutLine(Json(trial, metrics).dump(2));
    case Format::kJsonLines:
      return console.OutLine(Json(trial, metrics).dump());
    case Format::kYaml:
      return console.Out(YamlOf(Json(trial, metrics)));
    case Format::kCsv:
    case Format::kName:
    case Format::kTable:
      return PrintOne(&console, context->format, trial, trial.name(), Text(trial, metrics),
                      TrialTable({trial}, spec, /*exact=*/true));
  }
}

absl::Status Best(Context* context, const Arguments& arguments) {
  const absl::StatusOr<std::string> name = context->JobNameOf(arguments.Word(0));
  if (!name.ok()) return name.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::GetJobRequest get;
  get.set_name(*name);
  const absl::StatusOr<v1::Job> job = (*client)->GetJob(get);
  if (!job.ok()) return job.status();
  if (absl::Status status = CheckTuning(*job); !status.ok()) return status;
  v1::ListBestTrialsRequest request;
  request.set_parent(StudyOf(*job));
  request.set_count(1);
  const absl::StatusOr<v1::ListBestTrialsResponse> best = (*client)->ListBestTrials(request);
  if (!best.ok()) return best.status();
  if (best->trials().empty()) return NoBest(*job);
  const absl::StatusOr<Metrics> metrics = MetricsOf(*client, *job, best->trials(0));
  if (!metrics.ok()) return metrics.status();
  Print(context, best->trials(0), *metrics, job->spec().study_spec());
  return absl::OkStatus();
}

}  // namespace

Command BestCommand() {
  Command command;
  command.words = "best";
  command.summary = "Show the best trial of a tuning job: parameters and metrics.";
  command.examples = {"trainyard best digits", "trainyard best digits -o json"};
  command.positionals = {{.name = "JOB", .complete = Complete::kJob}};
  command.run = Best;
  command.notes = {
      "Metrics are those of the step that the trial is judged by (its last, or its best with",
      "measurementSelectionType: BEST_MEASUREMENT); -o json has them in lastMetrics."};
  command.prints = true;
  return command;
}

}  // namespace trainyard::cli
