// See study_words.h.
#include "client/cli/study_words.h"

#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/job_view.h"
#include "client/cli/trial_view.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

constexpr size_t kMetricBytesMax = 256;

std::string GoalsOf(const v1::StudySpec& spec) {
  std::string out;
  for (const v1::StudySpec::Metric& metric : spec.metrics()) {
    absl::StrAppend(&out, out.empty() ? "" : ", ",
                    metric.goal() == v1::StudySpec::MINIMIZE ? "minimize " : "maximize ",
                    metric.metric_id());
  }
  return out;
}

std::string StateOf(const v1::Study& study) {
  switch (study.state()) {
    case v1::Study::ACTIVE_STUDY:
      return "ACTIVE";
    case v1::Study::INACTIVE_STUDY:
      return "INACTIVE";
    case v1::Study::COMPLETED_STUDY:
      return "COMPLETED";
    default:
      return "";
  }
}

}  // namespace

absl::StatusOr<std::string> TrialNameOf(Context* context, const Arguments& arguments) {
  const absl::StatusOr<std::string> study = context->StudyNameOf(arguments.Word(0));
  if (!study.ok()) return study.status();
  int32_t trial = 0;
  if (!absl::SimpleAtoi(arguments.Word(1), &trial) || trial < 1) {
    return UsageError(absl::StrCat("\"", arguments.Word(1), "\" is no trial number"),
                      "give the id that ask answered, for example 3");
  }
  return absl::StrCat(*study, "/trials/", trial);
}

std::vector<Flag> MeasurementFlags() {
  return {{.name = "metric", .value = "NAME=X", .help = "measured value", .repeated = true},
          {.name = "step",
           .value = "N",
           .help = "step it was measured at; default: the one after the last"},
          {.name = "elapsed", .value = "D", .help = "time since the trial began, for example 90s"}};
}

absl::StatusOr<v1::Measurement> MeasurementOf(const Arguments& arguments) {
  v1::Measurement measurement;
  const absl::StatusOr<int64_t> step = arguments.Int("step", 0, 0, INT64_MAX);
  if (!step.ok()) return step.status();
  if (arguments.Has("step")) measurement.set_step(*step);
  if (arguments.Has("elapsed")) {
    const absl::StatusOr<absl::Duration> elapsed =
        arguments.Duration("elapsed", absl::ZeroDuration());
    if (!elapsed.ok()) return elapsed.status();
    measurement.mutable_elapsed()->set_seconds(absl::ToInt64Seconds(*elapsed));
    measurement.mutable_elapsed()->set_nanos(static_cast<int32_t>(
        absl::ToInt64Nanoseconds(*elapsed - absl::Seconds(absl::ToInt64Seconds(*elapsed)))));
  }
  for (const std::string& text : arguments.All("metric")) {
    const size_t equals = text.rfind('=');
    v1::MetricValue* metric = measurement.add_metrics();
    double value = 0;
    if (equals == std::string::npos || equals == 0 ||
        !absl::SimpleAtod(text.substr(equals + 1), &value)) {
      return UsageError(absl::StrCat("--metric: \"", text, "\" is no NAME=NUMBER"),
                        "write for example --metric loss=0.31");
    }
    if (!std::isfinite(value)) {
      return UsageError(absl::StrCat("--metric: \"", text, "\" is no finite number"),
                        "a trial that diverged is ended so: trainyard study complete STUDY TRIAL "
                        "--infeasible WHY");
    }
    if (equals > kMetricBytesMax) {
      return UsageError(absl::StrCat("--metric: a name of ", equals, " bytes"),
                        absl::StrCat("at most ", kMetricBytesMax,
                                     "; the study's own names: "
                                     "trainyard study describe STUDY"));
    }
    metric->set_metric_id(text.substr(0, equals));
    metric->set_value(value);
  }
  return measurement;
}

absl::Status PrintTrials(Context* context, const std::string& study,
                         const std::vector<v1::Trial>& trials) {
  v1::StudySpec spec;
  const bool columns = context->format == Format::kTable || context->format == Format::kCsv;
  if (columns) {
    const absl::StatusOr<client::Client*> client = context->Connect();
    if (!client.ok()) return client.status();
    v1::GetStudyRequest request;
    request.set_name(study);
    const absl::StatusOr<v1::Study> found = (*client)->GetStudy(request);
    if (!found.ok()) return found.status();
    spec = found->spec();
  }
  List list{{}, TrialTable(trials, spec, context->format == Format::kCsv)};
  for (const v1::Trial& trial : trials) list.items.push_back(&trial);
  PrintList(&context->console(), context->format, list);
  return absl::OkStatus();
}

Table StudyTable(const std::vector<const v1::Study*>& studies) {
  Table table;
  table.headers = {"STUDY", "STATE", "CREATED", "DONE", "OPEN", "GOAL"};
  table.right = {false, false, false, true, true, false};
  for (const v1::Study* study : studies) {
    const v1::TrialCounts& counts = study->trials();
    table.rows.push_back({ShortName(study->name()), StateOf(*study),
                          ShortTime(study->create_time()),
                          absl::StrCat(counts.succeeded() + counts.infeasible()),
                          absl::StrCat(counts.requested() + counts.active() + counts.stopping()),
                          GoalsOf(study->spec())});
    table.names.push_back(study->name());
  }
  return table;
}

std::string StudyPage(const v1::Study& study) {
  std::string out;
  const auto add = [&out](absl::string_view key, const std::string& value) {
    if (!value.empty()) absl::StrAppendFormat(&out, "%-12s%s\n", absl::StrCat(key, ":"), value);
  };
  add("study", ShortName(study.name()));
  add("state", StateOf(study));
  add("inactive", study.inactive_reason());
  add("created", ShortTime(study.create_time()));
  add("goal", GoalsOf(study.spec()));
  add("job", study.job());
  for (const auto& parameter : study.spec().parameters())
    add("parameter", parameter.parameter_id());
  const v1::TrialCounts& counts = study.trials();
  add("trials",
      absl::StrCat(counts.succeeded(), " succeeded, ", counts.infeasible(), " infeasible, ",
                   counts.requested() + counts.active() + counts.stopping(), " open",
                   counts.held() > 0 ? absl::StrCat(" (", counts.held(), " held)") : ""));
  return out;
}

}  // namespace trainyard::cli
