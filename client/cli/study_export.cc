// trainyard study export: all trials with their whole curves, for other programs. CSV has one line
// a measurement.
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

std::string WhyOf(const v1::Trial& trial) {
  return trial.infeasible_reason().empty() ? trial.stop_reason() : trial.infeasible_reason();
}

// One row a measured value: trial, state, parameters as text, step, metric, value; a trial without
// any has one row all the same, and one that failed says why.
Table CurveTable(const std::vector<v1::Trial>& trials) {
  Table table;
  table.headers = {"trial", "state", "parameters", "step", "metric", "value", "final", "why"};
  const auto add = [&table](const v1::Trial& trial, const v1::Measurement& measurement,
                            bool is_final) {
    for (const v1::MetricValue& metric : measurement.metrics()) {
      table.rows.push_back({absl::StrCat(trial.id()), StateText(trial), ParametersText(trial),
                            absl::StrCat(measurement.step()), metric.metric_id(),
                            NumberText(metric.value()), is_final ? "true" : "false", WhyOf(trial)});
    }
  };
  for (const v1::Trial& trial : trials) {
    for (const v1::Measurement& measurement : trial.measurements()) add(trial, measurement, false);
    add(trial, trial.final_measurement(), true);
    if (trial.measurements().empty() && trial.final_measurement().metrics().empty()) {
      table.rows.push_back({absl::StrCat(trial.id()), StateText(trial), ParametersText(trial), "",
                            "", "", "", WhyOf(trial)});
    }
    table.names.push_back(trial.name());
  }
  return table;
}

absl::Status Export(Context* context, const Arguments& arguments) {
  const absl::StatusOr<std::string> study = context->StudyNameOf(arguments.Word(0));
  if (!study.ok()) return study.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<std::vector<v1::Trial>> trials =
      FetchTrialsOf(*client, *study, /*with_measurements=*/true);
  if (!trials.ok()) return trials.status();
  List list{{}, CurveTable(*trials)};
  for (const v1::Trial& trial : *trials) list.items.push_back(&trial);
  PrintList(&context->console(), context->format_given ? context->format : Format::kJson, list);
  return absl::OkStatus();
}

}  // namespace

Command StudyExportCommand() {
  Command command;
  command.words = "study export";
  command.summary = "Export all trials with their curves.";
  command.examples = {"trainyard study export lr_search > study.json",
                      "trainyard study export lr_search -o csv > curves.csv"};
  command.positionals = {{.name = "STUDY", .complete = Complete::kStudy}};
  command.run = Export;
  command.prints = true;
  return command;
}

}  // namespace trainyard::cli
