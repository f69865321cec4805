// trainyard jobs cancel: asks for the end of jobs; `--wait` sees it through.
#include <utility>
#include <vector>

#include "client/cli/all_commands.h"
#include "client/cli/change_jobs.h"
#include "client/sdk/client.h"
#include "client/sdk/follow.h"

namespace trainyard::cli {
namespace {

absl::Status Cancel(Context* context, const Arguments& arguments) {
  return ChangeJobs(
      context, arguments, {.verb = "cancel", .done = v1::CANCELLED},
      [&](client::Client* client, const std::string& name, const std::string& request_id) {
        v1::CancelJobRequest request;
        request.set_name(name);
        request.set_reason(arguments.Get("reason"));
        request.set_request_id(request_id);
        absl::StatusOr<v1::Job> job = client->CancelJob(request);
        if (!job.ok() || !arguments.Has("wait") || client::IsTerminal(job->state())) return job;
        return client::WaitForJob(client, name, absl::InfiniteFuture(), [](const v1::Job& seen) {
          return client::IsTerminal(seen.state());
        });
      });
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
  command.prints = true;
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
