// See trial_view.h.
#include "client/cli/trial_view.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "client/cli/job_view.h"
#include "client/sdk/client.h"
#include "common/names.h"

namespace trainyard::cli {
namespace {

constexpr int kPageSize = 1000;

// Parameter names in the order of the study, conditional ones after their parents; then those that
// only trials know.
void AddNames(const v1::StudySpec::Parameter& parameter, std::vector<std::string>* names) {
  names->push_back(parameter.parameter_id());
  for (const auto& conditional : parameter.conditional_parameters()) {
    AddNames(conditional.parameter(), names);
  }
}

std::vector<std::string> ParameterNames(const std::vector<v1::Trial>& trials,
                                        const v1::StudySpec& spec) {
  std::vector<std::string> names;
  for (const auto& parameter : spec.parameters()) AddNames(parameter, &names);
  for (const v1::Trial& trial : trials) {
    for (const v1::ParameterValue& value : trial.parameters())
      names.push_back(value.parameter_id());
  }
  std::vector<std::string> unique;
  for (std::string& name : names) {
    if (std::find(unique.begin(), unique.end(), name) == unique.end()) unique.push_back(name);
  }
  return unique;
}

std::string NoteOf(const v1::Trial& trial, bool best) {
  std::string note = best ? "best" : "";
  const auto add = [&note](absl::string_view text) {
    absl::StrAppend(&note, note.empty() ? "" : ", ", text);
  };
  if (trial.stopped_early()) add("stopped early");
  if (trial.held()) add(absl::StrCat("may go on from step ", trial.last_step()));
  if (!trial.infeasible_reason().empty()) {
    add(trial.infeasible_reason().substr(0, trial.infeasible_reason().find('\n')));
  }
  return note;
}

// How long it ran: of all its attempts, without what it waited between them.
std::string TimeOfTrial(const v1::Trial& trial) {
  if (!trial.has_start_time() || !trial.has_end_time()) return "";
  absl::Duration ran = absl::ZeroDuration();
  bool known = trial.attempts_size() > 0;
  for (const v1::AttemptSummary& attempt : trial.attempts()) {
    known = known && attempt.has_start_time() && attempt.has_end_time();
    if (known) ran += TimeOf(attempt.end_time()) - TimeOf(attempt.start_time());
  }
  if (known) return ShortDuration(ran);
  return ShortDuration(TimeOf(trial.end_time()) - TimeOf(trial.start_time()));
}

std::optional<double> MetricIn(const v1::Measurement& measurement, const std::string& metric) {
  for (const v1::MetricValue& value : measurement.metrics()) {
    if (value.metric_id() == metric) return value.value();
  }
  return std::nullopt;
}

std::string Text(double number, int digits, bool exact) {
  return exact ? NumberText(number) : absl::StrFormat("%.*g", digits, number);
}

std::string Text(const v1::ParameterValue& value, int digits, bool exact) {
  const bool cut = value.value_case() == v1::ParameterValue::kNumber && !exact;
  return cut ? Text(value.number(), digits, false) : ValueText(value);
}

// A trial that was ended with its job is infeasible to the study, but nothing was wrong with it.
bool WasCancelled(const v1::Trial& trial) {
  if (trial.state() != v1::INFEASIBLE) return false;
  if (absl::StartsWith(trial.infeasible_reason(), "cancelled")) return true;
  return !trial.attempts().empty() &&
         trial.attempts().rbegin()->exit().cause() == v1::CANCELLED_CAUSE;
}

}  // namespace

std::string StepText(const v1::Trial& trial) {
  const int64_t judged = trial.final_measurement().step();
  const int64_t last = std::max(trial.last_step(), judged);
  if (last <= 0) return "";
  if (judged <= 0 || judged == last) return absl::StrCat(last);
  return absl::StrCat(judged, " of ", last);
}

std::string StudyOf(const v1::Job& job) {
  if (!job.study().empty()) {
    if (absl::StartsWith(job.study(), "projects/")) return job.study();
    const absl::StatusOr<JobName> name = ParseJob(job.name());
    return FormatStudy(name.ok() ? name->project : "default", job.study());
  }
  const absl::StatusOr<JobName> name = ParseJob(job.name());
  return name.ok() ? FormatStudy(name->project, name->job) : job.name();
}

absl::StatusOr<std::vector<v1::Trial>> FetchTrialsOf(client::Client* client,
                                                     const std::string& study,
                                                     bool with_measurements) {
  std::vector<v1::Trial> trials;
  v1::ListTrialsRequest request;
  request.set_parent(study);
  request.set_page_size(kPageSize);
  request.set_with_measurements(with_measurements);
  do {
    absl::StatusOr<v1::ListTrialsResponse> page = client->ListTrials(request);
    if (!page.ok()) return page.status();
    for (v1::Trial& trial : *page->mutable_trials()) trials.push_back(std::move(trial));
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  std::sort(trials.begin(), trials.end(),
            [](const v1::Trial& a, const v1::Trial& b) { return a.id() < b.id(); });
  return trials;
}

absl::StatusOr<std::vector<v1::Trial>> FetchTrials(client::Client* client, const v1::Job& job) {
  return FetchTrialsOf(client, StudyOf(job), /*with_measurements=*/false);
}

std::string NumberText(double number) {
  if (std::trunc(number) == number && std::fabs(number) < 1e15) {
    return absl::StrCat(std::llround(number));  // as the program gets it
  }
  for (int digits = 6; digits < 17; ++digits) {
    std::string text = absl::StrFormat("%.*g", digits, number);
    if (std::stod(text) == number || std::isnan(number)) return text;
  }
  return absl::StrFormat("%.17g", number);
}

std::string ValueText(const v1::ParameterValue& value) {
  switch (value.value_case()) {
    case v1::ParameterValue::kNumber:
      return NumberText(value.number());
    case v1::ParameterValue::kInteger:
      return absl::StrCat(value.integer());
    case v1::ParameterValue::kText:
      return value.text();
    case v1::ParameterValue::VALUE_NOT_SET:
      return "";
  }
  return "";
}

std::string ParametersText(const v1::Trial& trial, bool exact) {
  std::string out;
  for (const v1::ParameterValue& value : trial.parameters()) {
    absl::StrAppend(&out, out.empty() ? "" : " ", value.parameter_id(), "=", Text(value, 4, exact));
  }
  return out;
}

std::optional<double> MetricOf(const v1::Trial& trial, const std::string& metric) {
  if (const auto value = MetricIn(trial.final_measurement(), metric); value.has_value()) {
    return value;
  }
  for (int i = trial.measurements_size() - 1; i >= 0; --i) {
    if (const auto value = MetricIn(trial.measurements(i), metric); value.has_value()) return value;
  }
  return std::nullopt;
}

std::string ObjectiveOf(const v1::StudySpec& spec) {
  return spec.metrics_size() > 0 ? spec.metrics(0).metric_id() : "";
}

std::string StateText(const v1::Trial& trial) {
  if (WasCancelled(trial)) return "CANCELLED";
  if (trial.held()) return "HELD";
  return std::string(absl::StripPrefix(v1::TrialState_Name(trial.state()), "TRIAL_"));
}

const v1::Trial* BestOf(const std::vector<v1::Trial>& trials, const v1::StudySpec& spec) {
  const std::string objective = ObjectiveOf(spec);
  const bool minimize =
      spec.metrics_size() > 0 && spec.metrics(0).goal() == v1::StudySpec::MINIMIZE;
  const v1::Trial* best = nullptr;
  double best_value = 0;
  for (const v1::Trial& trial : trials) {
    if (trial.state() != v1::TRIAL_SUCCEEDED) continue;
    const std::optional<double> value = MetricIn(trial.final_measurement(), objective);
    if (!value.has_value() || std::isnan(*value)) continue;
    if (best == nullptr || (minimize ? *value < best_value : *value > best_value)) {
      best = &trial;
      best_value = *value;
    }
  }
  return best;
}

Table TrialTable(const std::vector<v1::Trial>& trials, const v1::StudySpec& spec, bool exact) {
  const std::vector<std::string> names = ParameterNames(trials, spec);
  const std::string objective = ObjectiveOf(spec);
  // The scheduler's word counts; ours stands in where it gave none.
  const bool named = std::any_of(trials.begin(), trials.end(),
                                 [](const v1::Trial& trial) { return trial.is_best(); });
  const v1::Trial* best = named ? nullptr : BestOf(trials, spec);
  Table table;
  table.headers = {"TRIAL", "STATE", objective.empty() ? "OBJECTIVE" : objective, "STEP"};
  table.headers.insert(table.headers.end(), names.begin(), names.end());
  table.headers.insert(table.headers.end(), {"TIME", "NOTE"});
  table.right = {true, false, true, true};
  for (const v1::Trial& trial : trials) {
    const std::optional<double> value = MetricOf(trial, objective);
    const int64_t judged = trial.final_measurement().step();
    std::vector<std::string> row = {absl::StrCat(trial.id()), StateText(trial),
                                    value.has_value() ? Text(*value, 6, exact) : "",
                                    exact && judged > 0 ? absl::StrCat(judged) : StepText(trial)};
    for (const std::string& name : names) {
      std::string text;
      for (const v1::ParameterValue& parameter : trial.parameters()) {
        if (parameter.parameter_id() == name) text = Text(parameter, 6, exact);
      }
      row.push_back(text);
    }
    row.push_back(TimeOfTrial(trial));
    row.push_back(NoteOf(trial, trial.is_best() || &trial == best));
    table.rows.push_back(std::move(row));
    table.names.push_back(trial.name());
  }
  return table;
}

std::string Sparkline(const std::vector<double>& values, size_t width) {
  static constexpr const char* kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const size_t first = values.size() > width ? values.size() - width : 0;
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (size_t i = first; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) continue;
    low = std::min(low, values[i]);
    high = std::max(high, values[i]);
  }
  std::string out;
  for (size_t i = first; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      out += ' ';
      continue;
    }
    const double share = high > low ? (values[i] - low) / (high - low) : 0.5;
    out += kBlocks[static_cast<size_t>(std::lround(share * 7))];
  }
  return out;
}

}  // namespace trainyard::cli
