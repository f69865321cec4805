// trainyard jobs update: changes the labels of a job and its place in the queue. Only what is named
// changes; the job's etag guards against a change by somebody else in between.
#include "absl/time/clock.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_view.h"
#include "client/sdk/client.h"
#include "common/errors.h"

namespace trainyard::cli {
namespace {

constexpr int kPriorityMax = 1000;

bool ChangesLabels(const Arguments& arguments) {
  return arguments.Has("update-labels") || arguments.Has("remove-labels") ||
         arguments.Has("clear-labels");
}
bool ChangesPlace(const Arguments& arguments) {
  return arguments.Has("priority") || arguments.Has("queue") || arguments.Has("max-wait") ||
         arguments.Has("time-limit");
}

absl::StatusOr<v1::Job> TryUpdateLabels(Context* context, client::Client* client,
                                        const Arguments& arguments, const std::string& name) {
  const absl::StatusOr<std::map<std::string, std::string>> labels =
      arguments.Pairs("update-labels");
  if (!labels.ok()) return labels.status();
  v1::GetJobRequest get;
  get.set_name(name);
  const absl::StatusOr<v1::Job> before = client->GetJob(get);
  if (!before.ok()) return before.status();
  v1::UpdateJobRequest request;
  request.set_name(name);
  request.set_etag(before->etag());
  if (!context->request_id.empty()) request.set_request_id(context->request_id);
  if (!arguments.Has("clear-labels")) *request.mutable_labels() = before->labels();
  for (const std::string& key : arguments.List("remove-labels")) {
    request.mutable_labels()->erase(key);
  }
  for (const auto& [key, value] : *labels) (*request.mutable_labels())[key] = value;
  return client->UpdateJob(request);
}

// A job that just changed by itself, because it started, is read and written once more.
absl::StatusOr<v1::Job> UpdateLabels(Context* context, client::Client* client,
                                     const Arguments& arguments, const std::string& name) {
  constexpr int kTries = 10;
  absl::StatusOr<v1::Job> job = TryUpdateLabels(context, client, arguments, name);
  for (int i = 1; i < kTries && !job.ok() && FaultsOf(job.status()).faults(0).field() == "etag";
       ++i) {
    job = TryUpdateLabels(context, client, arguments, name);
  }
  return job;
}

absl::StatusOr<v1::Job> UpdatePlace(Context* context, client::Client* client,
                                    const Arguments& arguments, const std::string& name) {
  v1::SetJobQueueingRequest request;
  request.set_name(name);
  if (!context->request_id.empty()) request.set_request_id(context->request_id + ".queue");
  const absl::StatusOr<int64_t> priority = arguments.Int("priority", -1, 0, kPriorityMax);
  if (!priority.ok()) return priority.status();
  if (*priority >= 0) request.set_priority(static_cast<int32_t>(*priority));
  if (arguments.Has("queue")) request.set_queue(arguments.Get("queue"));
  const absl::StatusOr<absl::Duration> wait = arguments.Duration("max-wait", absl::ZeroDuration());
  if (!wait.ok()) return wait.status();
  if (arguments.Has("max-wait")) {
    request.mutable_max_wait()->set_seconds(absl::ToInt64Seconds(*wait));
  }
  const absl::StatusOr<absl::Duration> limit =
      arguments.Duration("time-limit", absl::ZeroDuration());
  if (!limit.ok()) return limit.status();
  if (arguments.Has("time-limit")) {
    request.mutable_timeout()->set_seconds(absl::ToInt64Seconds(*limit));
  }
  absl::StatusOr<v1::Job> job = client->SetJobQueueing(request);
  if (job.ok()) return job;
  return InFlags(job.status(), {{"spec.scheduling.queue", "--queue"},
                                {"spec.scheduling.timeout", "--time-limit"},
                                {"spec.scheduling.max_wait", "--max-wait"},
                                {"spec.scheduling.priority", "--priority"},
                                {"name", "JOB"}});
}

absl::Status Update(Context* context, const Arguments& arguments) {
  if (!ChangesLabels(arguments) && !ChangesPlace(arguments)) {
    return UsageError("nothing to change",
                      "give --priority, --queue, --max-wait, --time-limit, --update-labels "
                      "KEY=VALUE, --remove-labels KEY or --clear-labels");
  }
  // A label that cannot be read changes nothing else either.
  const auto labels = arguments.Pairs("update-labels");
  if (!labels.ok()) return labels.status();
  const absl::StatusOr<std::string> name = context->JobNameOf(arguments.Word(0));
  if (!name.ok()) return name.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  absl::StatusOr<v1::Job> job;
  if (ChangesPlace(arguments)) job = UpdatePlace(context, *client, arguments, *name);
  if (ChangesLabels(arguments) && (!ChangesPlace(arguments) || job.ok())) {
    job = UpdateLabels(context, *client, arguments, *name);
  }
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
  command.summary = "Change a job's priority, queue, limits or labels.";
  command.examples = {"trainyard jobs update iris_1 --priority 500",
                      "trainyard jobs update iris_1 --queue night --max-wait 12h",
                      "trainyard jobs update iris_1 --update-labels team=vision,stage=done"};
  command.positionals = {{.name = "JOB", .complete = Complete::kJob}};
  command.flags = {
      {.name = "priority", .value = "N", .help = "0 to 1000, higher first"},
      {.name = "queue", .value = "Q", .help = "move it to this queue; \"\": the default one"},
      {.name = "max-wait", .value = "TIME", .help = "EXPIRED when not started by then; 0: never"},
      {.name = "time-limit", .value = "TIME", .help = "how long it may run; not while it runs"},
      {.name = "update-labels", .value = "K=V,...", .help = "set these", .repeated = true},
      {.name = "remove-labels", .value = "K,...", .help = "remove these", .repeated = true},
      {.name = "clear-labels", .help = "remove all others"}};
  command.run = Update;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
