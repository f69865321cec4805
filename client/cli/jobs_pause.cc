// trainyard jobs pause and resume: takes jobs off their nodes and puts them back into the queue.
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/change_jobs.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

std::string PauseOutcome(const v1::Job& job) {
  if (job.state() == v1::PAUSED) return "PAUSED";
  return "pausing: its program saves and leaves; then it is PAUSED";
}

absl::Status Pause(Context* context, const Arguments& arguments) {
  return ChangeJobs(
      context, arguments, {.verb = "pause"},
      [](client::Client* client, const std::string& name, const std::string& id) {
        v1::PauseJobRequest request;
        request.set_name(name);
        request.set_request_id(id);
        return client->PauseJob(request);
      },
      PauseOutcome);
}

absl::Status Resume(Context* context, const Arguments& arguments) {
  return ChangeJobs(context, arguments, {.verb = "resume"},
                    [](client::Client* client, const std::string& name, const std::string& id) {
                      v1::ResumeJobRequest request;
                      request.set_name(name);
                      request.set_request_id(id);
                      return client->ResumeJob(request);
                    });
}

}  // namespace

Command JobsPauseCommand() {
  Command command;
  command.words = "jobs pause";
  command.summary = "Pause jobs: they save, leave their nodes and keep their progress.";
  command.examples = {"trainyard jobs pause iris_1", "trainyard jobs pause iris_1 iris_2 -o json"};
  command.positionals = {{.name = "JOB", .repeated = true, .complete = Complete::kJob}};
  command.run = Pause;
  command.prints = true;
  command.writes = true;
  command.notes = {
      "A running program gets SIGTERM and its grace to save; resume starts it again from its last "
      "checkpoint. A tuning job pauses all its trials."};
  command.aliases = {"hp-tuning-jobs pause", "custom-jobs pause"};
  return command;
}

Command JobsResumeCommand() {
  Command command;
  command.words = "jobs resume";
  command.summary = "Put paused jobs back into the queue.";
  command.examples = {"trainyard jobs resume iris_1"};
  command.positionals = {{.name = "JOB", .repeated = true, .complete = Complete::kJob}};
  command.run = Resume;
  command.prints = true;
  command.writes = true;
  command.aliases = {"hp-tuning-jobs resume", "custom-jobs resume"};
  return command;
}

}  // namespace trainyard::cli
