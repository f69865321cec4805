// trainyard jobs hold and release: keeps jobs from starting, and lets them start again.
#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_view.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

absl::Status Set(Context* context, const Arguments& arguments, bool hold) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  // Every job named is tried; the first error is the answer.
  absl::Status result;
  for (size_t i = 0; i < arguments.words().size(); ++i) {
    const absl::StatusOr<std::string> name = context->JobNameOf(arguments.Word(i));
    if (!name.ok()) return name.status();
    v1::SetJobQueueingRequest request;
    request.set_name(*name);
    request.set_hold(hold);
    if (!context->request_id.empty()) {
      request.set_request_id(i == 0 ? context->request_id
                                    : absl::StrCat(context->request_id, ".", i + 1));
    }
    const absl::StatusOr<v1::Job> job = (*client)->SetJobQueueing(request);
    result.Update(job.status());
    if (!job.ok() || context->quiet) continue;
    context->console().ErrLine(absl::StrCat(ShortName(job->name()), ": ",
                                            v1::JobState_Name(job->state()),
                                            job->on_hold() ? ", on hold" : ""));
  }
  return result;
}

absl::Status Hold(Context* context, const Arguments& arguments) {
  return Set(context, arguments, true);
}
absl::Status Release(Context* context, const Arguments& arguments) {
  return Set(context, arguments, false);
}

}  // namespace

Command JobsHoldCommand() {
  Command command;
  command.words = "jobs hold";
  command.summary = "Keep waiting jobs from starting until they are released.";
  command.examples = {"trainyard jobs hold iris_1 iris_2"};
  command.positionals = {{.name = "JOB", .repeated = true, .complete = Complete::kJob}};
  command.run = Hold;
  command.writes = true;
  return command;
}

Command JobsReleaseCommand() {
  Command command;
  command.words = "jobs release";
  command.summary = "Let held jobs wait for a place again.";
  command.examples = {"trainyard jobs release iris_1"};
  command.positionals = {{.name = "JOB", .repeated = true, .complete = Complete::kJob}};
  command.run = Release;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
