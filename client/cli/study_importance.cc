// trainyard study importance: how much each parameter matters, where the optimum is thought to be,
// which trial is best once chance is allowed for.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/output.h"
#include "client/cli/study_words.h"
#include "client/cli/trial_view.h"
#include "client/sdk/client.h"
#include "trainyard/v1/insight.pb.h"

namespace trainyard::cli {
namespace {

constexpr int kBarWidth = 30;

std::string Bar(double share) {
  return std::string(static_cast<size_t>(std::clamp(share, 0.0, 1.0) * kBarWidth + 0.5), '#');
}

Table ShareTable(const v1::StudyInsight& insight, bool with_bars) {
  Table table;
  table.headers = {"PARAMETER", "SHARE", "DEVIATION"};
  table.right = {false, true, true};
  if (with_bars) table.headers.push_back("");
  const auto add = [&](const std::string& name, double share, const std::string& deviation) {
    std::vector<std::string> row = {name, absl::StrFormat("%.3f", share), deviation};
    if (with_bars) row.push_back(Bar(share));
    table.rows.push_back(std::move(row));
    table.names.push_back(name);
  };
  for (const auto& importance : insight.importances()) {
    add(Printable(importance.parameter_id()), importance.share(),
        absl::StrFormat("%.3f", importance.deviation()));
  }
  if (insight.importances_size() > 0) add("(acting together)", insight.interactions(), "");
  return table;
}

std::string Page(const v1::StudyInsight& insight, bool color) {
  std::string out = absl::StrCat("metric:  ", Printable(insight.metric_id()),
                                 "\ntrials:  ", insight.trials(), "\n");
  if (insight.importances_size() == 0) {
    return absl::StrCat(out, "Too few trials have succeeded; four are the least.\n");
  }
  absl::StrAppend(&out, "\n",
                  FormatTable(ShareTable(insight, /*with_bars=*/true), /*columns=*/0, color));
  absl::StrAppend(&out, "\nbest trial, chance allowed for: ", insight.best_trial(), " (",
                  NumberText(insight.best_value()), ")\n");
  const auto& optimum = insight.predicted_optimum();
  absl::StrAppend(&out, "predicted optimum: ", NumberText(optimum.value()), " (",
                  NumberText(optimum.low()), " to ", NumberText(optimum.high()), ") at\n");
  for (const v1::ParameterValue& value : optimum.parameters()) {
    absl::StrAppendFormat(&out, "  %-20s %s\n", Printable(value.parameter_id()), ValueText(value));
  }
  if (insight.pareto_front_size() > 0) {
    absl::StrAppend(&out, "Pareto front: trials");
    for (const int32_t id : insight.pareto_front()) absl::StrAppend(&out, " ", id);
    absl::StrAppend(&out, "\n");
  }
  return out;
}

absl::Status Importance(Context* context, const Arguments& arguments) {
  const absl::StatusOr<std::string> study = context->StudyNameOf(arguments.Word(0));
  if (!study.ok()) return study.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::GetStudyInsightRequest request;
  request.set_name(*study);
  request.set_metric_id(arguments.Get("metric"));
  const absl::StatusOr<v1::StudyInsight> insight = (*client)->GetStudyInsight(request);
  if (!insight.ok()) return insight.status();
  PrintOne(&context->console(), context->format, *insight, *study,
           Page(*insight, context->console().out_color), ShareTable(*insight, /*with_bars=*/false));
  return absl::OkStatus();
}

}  // namespace

Command StudyImportanceCommand() {
  Command command;
  command.words = "study importance";
  command.summary = "Show which parameters matter, and the predicted optimum.";
  command.examples = {"trainyard study importance lr_search",
                      "trainyard study importance lr_search --metric loss -o csv"};
  command.positionals = {{.name = "STUDY", .complete = Complete::kStudy}};
  command.flags = {
      {.name = "metric", .value = "NAME", .help = "of several metrics; default the first"}};
  command.run = Importance;
  command.prints = true;
  command.notes = {"A share is the part of the metric's variance over the whole search space that",
                   "the parameter explains alone (fANOVA over a random forest)."};
  return command;
}

}  // namespace trainyard::cli
