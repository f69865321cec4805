// trainyard metrics: what a job reported, one line a metric (and trial, and rank when several
// report it), or every point of the curves.
#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_parts.h"
#include "client/cli/job_view.h"
#include "client/cli/metric_view.h"
#include "client/cli/output.h"
#include "client/sdk/client.h"
#include "common/errors.h"

namespace trainyard::cli {
namespace {

constexpr int kPointsMax = 50000;

absl::StatusOr<v1::ListMetricsRequest> RequestOf(const Arguments& arguments) {
  const absl::StatusOr<int64_t> trial = arguments.Int("trial", 0, 1, INT32_MAX);
  const absl::StatusOr<int64_t> points = arguments.Int("points-max", 0, 2, kPointsMax);
  if (!trial.ok()) return trial.status();
  if (!points.ok()) return points.status();
  v1::ListMetricsRequest request;
  request.set_trial(static_cast<int32_t>(*trial));
  request.set_points_max(static_cast<int32_t>(*points));
  for (const std::string& name : arguments.All("metric")) request.add_metrics(name);
  return request;
}

// Metrics that were asked for by name and never reported.
absl::Status CheckNames(const v1::ListMetricsRequest& request,
                        const v1::ListMetricsResponse& response) {
  const std::vector<std::string> seen(response.names().begin(), response.names().end());
  v1::Faults faults;
  for (const std::string& name : request.metrics()) {
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) continue;
    const std::string nearest = NearestName(name, seen);
    const std::string list = seen.empty() ? "nothing was reported"
                                          : absl::StrCat("reported: ", absl::StrJoin(seen, ", "));
    faults.MergeFrom(FaultsOf(
        MakeError(absl::StatusCode::kNotFound, "METRIC_MISSING",
                  absl::StrCat("metric \"", name, "\" was never reported"),
                  nearest.empty() ? list : absl::StrCat("did you mean \"", nearest, "\"? ", list),
                  "metric")));
  }
  return MakeError(absl::StatusCode::kNotFound, faults);
}

absl::Status Metrics(Context* context, const Arguments& arguments) {
  absl::StatusOr<v1::ListMetricsRequest> request = RequestOf(arguments);
  if (!request.ok()) return request.status();
  const absl::StatusOr<std::string> name = context->JobNameOf(arguments.Word(0));
  if (!name.ok()) return name.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  request->set_name(*name);
  if (request->trial() > 0) {
    v1::GetJobRequest get;
    get.set_name(*name);
    const absl::StatusOr<v1::Job> job = (*client)->GetJob(get);
    if (!job.ok()) return job.status();
    if (absl::Status status = CheckTrial(*client, *job, request->trial()); !status.ok()) {
      return status;
    }
  }
  const absl::StatusOr<v1::ListMetricsResponse> response = (*client)->ListMetrics(*request);
  if (!response.ok()) return response.status();
  if (absl::Status status = CheckNames(*request, *response); !status.ok()) return status;
  const bool curves = arguments.Has("curve") ||
                      (context->format != Format::kTable && context->format != Format::kName);
  const Table table = curves ? CurveTable(*response) : MetricTable(*response);
  if (context->format == Format::kName) {
    for (const std::string& metric : response->names()) context->console().OutLine(metric);
    return absl::OkStatus();
  }
  List list{{}, table};
  for (const v1::MetricPoint& point : response->points()) list.items.push_back(&point);
  PrintList(&context->console(), context->format, list);
  if (response->points().empty() && context->format == Format::kTable) {
    context->console().ErrLine(
        "No metrics yet. A program reports them with trainyard.report, the hypertune library, or "
        "by lines that metricRegex of its spec finds.");
  }
  return absl::OkStatus();
}

}  // namespace

Command MetricsCommand() {
  Command command;
  command.words = "metrics";
  command.summary = "Show the metrics a job reported: last, best and the shape of each curve.";
  command.examples = {"trainyard metrics iris_1", "trainyard metrics digits --trial 3",
                      "trainyard metrics iris_1 --metric loss -o csv > loss.csv"};
  command.positionals = {{.name = "JOB", .complete = Complete::kJob}};
  command.flags = {
      {.name = "metric", .value = "NAME", .help = "this one; may be repeated", .repeated = true},
      {.name = "trial", .value = "N", .help = "of this trial alone"},
      {.name = "curve", .help = "every point, not a line a metric"},
      {.name = "points-max", .value = "N", .help = "at most so many a curve; default 1000"}};
  command.notes = {"csv, json, jsonl and yaml have every point; -o name the metrics' names."};
  command.run = Metrics;
  command.prints = true;
  command.aliases = {"jobs metrics"};
  return command;
}

}  // namespace trainyard::cli
