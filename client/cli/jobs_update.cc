// trainyard jobs update: changes the labels of a job. Only the labels named change; the job's etag
// guards against a change by somebody else in between.
#include "absl/time/clock.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_view.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

absl::Status Update(Context* context, const Arguments& arguments) {
  const absl::StatusOr<std::map<std::string, std::string>> labels =
      arguments.Pairs("update-labels");
  if (!labels.ok()) return labels.status();
  if (labels->empty() && !arguments.Has("remove-labels") && !arguments.Has("clear-labels")) {
    return UsageError("nothing to change",
                      "give --update-labels KEY=VALUE, --remove-labels KEY "
                      "or --clear-labels");
  }
  const absl::StatusOr<std::string> name = context->JobNameOf(arguments.Word(0));
  if (!name.ok()) return name.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::GetJobRequest get;
  get.set_name(*name);
  const absl::StatusOr<v1::Job> before = (*client)->GetJob(get);
  if (!before.ok()) return before.status();
  v1::UpdateJobRequest request;
  request.set_name(*name);
  request.set_etag(before->etag());
  if (!context->request_id.empty()) request.set_request_id(context->request_id);
  if (!arguments.Has("clear-labels")) *request.mutable_labels() = before->labels();
  for (const std::string& key : arguments.List("remove-labels")) {
    request.mutable_labels()->erase(key);
  }
  for (const auto& [key, value] : *labels) (*request.mutable_labels())[key] = value;
  const absl::StatusOr<v1::Job> job = (*client)->UpdateJob(request);
  if (!job.ok()) return job.status();
  const absl::Time now = absl::Now();
  PrintOne(&context->console(), context->format, *job, *name, JobPage(*job, now),
           JobTable({&*job}, now));
  return absl::OkStatus();
}

}  // namespace

Command JobsUpdateCommand() {
  Command command;
  command.words = "jobs update";
  command.summary = "Change a job's labels.";
  command.examples = {"trainyard jobs update iris_1 --update-labels team=vision,stage=done",
                      "trainyard jobs update iris_1 --remove-labels stage"};
  command.positionals = {{.name = "JOB", .complete = Complete::kJob}};
  command.flags = {
      {.name = "update-labels", .value = "K=V,...", .help = "set these", .repeated = true},
      {.name = "remove-labels", .value = "K,...", .help = "remove these", .repeated = true},
      {.name = "clear-labels", .help = "remove all others"}};
  command.run = Update;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
