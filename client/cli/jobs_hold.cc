// trainyard jobs hold and release: keeps jobs from starting, and lets them start again.
#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/change_jobs.h"
#include "client/cli/context.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

std::string HoldOutcome(const v1::Job& job) {
  return absl::StrCat(v1::JobState_Name(job.state()), job.on_hold() ? ", on hold" : "");
}

absl::Status Set(Context* context, const Arguments& arguments, bool hold) {
  return ChangeJobs(
      context, arguments, {.verb = hold ? "hold" : "release"},
      [hold](client::Client* client, const std::string& name, const std::string& request_id) {
        v1::SetJobQueueingRequest request;
        request.set_name(name);
        request.set_hold(hold);
        request.set_request_id(request_id);
        return client->SetJobQueueing(request);
      },
      HoldOutcome);
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
  command.prints = true;
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
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
