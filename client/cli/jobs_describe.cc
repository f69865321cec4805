// trainyard jobs describe: one job in full, with its attempts, timeline and error.
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_view.h"
#include "client/cli/metric_view.h"
#include "client/cli/output.h"
#include "client/cli/trial_view.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

// What a plain job has published and how to fetch it; "" when nothing.
std::string OutputLines(client::Client* client, const v1::Job& job) {
  v1::ListOutputsRequest request;
  request.set_name(job.name());
  const absl::StatusOr<v1::ListOutputsResponse> outputs = client->ListOutputs(request);
  if (!outputs.ok() || outputs->outputs().empty()) return "";
  std::set<std::string> kinds;
  for (const v1::OutputTree& output : outputs->outputs()) kinds.insert(output.kind());
  return absl::StrCat("outputs:     ", absl::StrJoin(kinds, ", "), "; files: trainyard outputs ",
                      ShortName(job.name()), "; fetch: trainyard pull ", ShortName(job.name()),
                      " DIR\n");
}

// The metrics a plain job reported, a line each; "" when none.
std::string MetricLines(client::Client* client, const v1::Job& job) {
  v1::ListMetricsRequest request;
  request.set_name(job.name());
  const absl::StatusOr<v1::ListMetricsResponse> metrics = client->ListMetrics(request);
  if (!metrics.ok() || metrics->points().empty()) return "";
  std::string out;
  if (const std::string slow = SlowRank(*metrics); !slow.empty()) {
    absl::StrAppend(&out, "slow rank:   ", slow, "\n");
  }
  absl::StrAppend(&out, "metrics:\n");
  const std::string table = FormatTable(MetricTable(*metrics), 0, /*color=*/false);
  for (absl::string_view line : absl::StrSplit(table, '\n', absl::SkipEmpty())) {
    absl::StrAppend(&out, "  ", line, "\n");
  }
  return out;
}

absl::Status Describe(Context* context, const Arguments& arguments) {
  const absl::StatusOr<std::string> name = context->JobNameOf(arguments.Word(0));
  if (!name.ok()) return name.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::GetJobRequest request;
  request.set_name(*name);
  const absl::StatusOr<v1::Job> job = (*client)->GetJob(request);
  if (!job.ok()) return job.status();
  const absl::Time now = absl::Now();
  std::string page = JobPage(*job, now);
  if (context->format == Format::kTable && IsTuning(*job) && arguments.Has("summarize")) {
    const absl::StatusOr<std::vector<v1::Trial>> trials = FetchTrials(*client, *job);
    if (!trials.ok()) return trials.status();
    absl::StrAppend(&page, "\n",
                    FormatTable(TrialTable(*trials, job->spec().study_spec(), /*exact=*/false), 0,
                                context->console().out_color));
  }
  if (context->format == Format::kTable && !IsTuning(*job)) {
    absl::StrAppend(&page, OutputLines(*client, *job), MetricLines(*client, *job));
  }
  PrintOne(&context->console(), context->format, *job, *name, page, JobTable({&*job}, now));
  return absl::OkStatus();
}

Command Make(const char* words, const char* example) {
  Command command;
  command.words = words;
  command.summary = "Show one job: state, attempts, timeline and, when it failed, why.";
  command.examples = {example};
  command.positionals = {{.name = "JOB", .complete = Complete::kJob}};
  command.flags = {{.name = "summarize", .help = "with the table of trials"},
                   {.name = "region", .value = "R", .quiet = true}};
  command.run = Describe;
  command.prints = true;
  return command;
}

}  // namespace

Command JobsDescribeCommand() {
  Command command = Make("jobs describe", "trainyard jobs describe iris_1");
  command.examples.push_back("trainyard jobs describe digits --summarize");
  command.examples.push_back("trainyard jobs describe iris_1 -o json");
  return command;
}
Command HpTuningJobsDescribeCommand() {
  return Make("hp-tuning-jobs describe", "trainyard hp-tuning-jobs describe digits --summarize");
}
Command CustomJobsDescribeCommand() {
  return Make("custom-jobs describe", "trainyard custom-jobs describe iris_1 -o yaml");
}

}  // namespace trainyard::cli
