// trainyard jobs cancel: asks for the end of jobs; `--wait` sees it through.
#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_view.h"
#include "client/sdk/client.h"
#include "client/sdk/follow.h"

namespace trainyard::cli {
namespace {

absl::Status CancelOne(Context* context, client::Client* client, const std::string& word,
                       const std::string& request_id, const Arguments& arguments) {
  const absl::StatusOr<std::string> name = context->JobNameOf(word);
  if (!name.ok()) return name.status();
  v1::CancelJobRequest request;
  request.set_name(*name);
  request.set_reason(arguments.Get("reason"));
  request.set_request_id(request_id);
  absl::StatusOr<v1::Job> job = client->CancelJob(request);
  if (!job.ok()) return job.status();
  if (arguments.Has("wait") && !client::IsTerminal(job->state())) {
    job = client::WaitForJob(client, *name, absl::InfiniteFuture(),
                             [](const v1::Job& seen) { return client::IsTerminal(seen.state()); });
    if (!job.ok()) return job.status();
  }
  if (!context->quiet) {
    context->console().ErrLine(
        absl::StrCat(ShortName(job->name()), ": ", v1::JobState_Name(job->state())));
  }
  return absl::OkStatus();
}

absl::Status Cancel(Context* context, const Arguments& arguments) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  // Every job named is tried; the first error is the answer.
  absl::Status result;
  // Each job needs an id of its own.
  for (size_t i = 0; i < arguments.words().size(); ++i) {
    const std::string request_id = context->request_id.empty() || i == 0
                                       ? context->request_id
                                       : absl::StrCat(context->request_id, ".", i + 1);
    result.Update(CancelOne(context, *client, arguments.Word(i), request_id, arguments));
  }
  return result;
}

Command Make(const char* words, std::vector<const char*> examples) {
  Command command;
  command.words = words;
  command.summary = "Cancel jobs: SIGTERM, a grace to save, then the end.";
  command.examples = std::move(examples);
  command.positionals = {{.name = "JOB", .repeated = true, .complete = Complete::kJob}};
  command.flags = {{.name = "wait", .help = "until they have ended"},
                   {.name = "reason", .value = "TEXT", .help = "kept with the job"},
                   {.name = "region", .value = "R", .quiet = true}};
  command.run = Cancel;
  command.writes = true;
  return command;
}

}  // namespace

Command JobsCancelCommand() {
  return Make("jobs cancel",
              {"trainyard jobs cancel iris_1", "trainyard jobs cancel iris_1 iris_2 --wait"});
}
Command HpTuningJobsCancelCommand() {
  return Make("hp-tuning-jobs cancel", {"trainyard hp-tuning-jobs cancel digits --wait"});
}
Command CustomJobsCancelCommand() {
  return Make("custom-jobs cancel", {"trainyard custom-jobs cancel iris_1"});
}

}  // namespace trainyard::cli
