// trainyard jobs wait: returns when a job reaches a state; the exit code is the verdict.
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/fault_list.h"
#include "client/cli/follow_job.h"
#include "client/cli/job_view.h"
#include "client/cli/waiting.h"
#include "client/sdk/client.h"
#include "client/sdk/follow.h"

namespace trainyard::cli {
namespace {

// Whether a state counts as reached. A job that ended has passed "running" too.
bool Reached(const std::string& goal, v1::JobState state) {
  if (client::IsTerminal(state)) return true;
  return goal == "running" && state == v1::RUNNING;
}

absl::Status Wait(Context* context, const Arguments& arguments) {
  const absl::StatusOr<absl::Duration> timeout =
      arguments.Duration("timeout", absl::InfiniteDuration());
  if (!timeout.ok()) return timeout.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::Time deadline = absl::Now() + *timeout;
  const std::string goal = arguments.Get("for", "done");
  // Several jobs are one document where the format is one.
  const bool whole = arguments.words().size() > 1 &&
                     (context->format == Format::kJson || context->format == Format::kYaml ||
                      context->format == Format::kCsv);
  std::vector<v1::Job> jobs;
  absl::Status result;
  FaultList unknown;
  std::vector<std::string> names;
  for (const std::string& word : arguments.words()) {
    const absl::StatusOr<std::string> name = context->JobNameOf(word);
    if (!unknown.Add(name)) continue;
    names.push_back(*name);
    if (arguments.words().size() == 1) break;
    // All of them are there before any is waited for.
    v1::GetJobRequest request;
    request.set_name(*name);
    unknown.Add((*client)->GetJob(request));
  }
  if (!unknown.ok()) return unknown.Take();
  for (const std::string& name : names) {
    const absl::StatusOr<v1::Job> job =
        WaitTelling(context, *client, name, deadline, arguments.Has("patient"),
                    [&goal](const v1::Job& seen) { return Reached(goal, seen.state()); });
    if (!job.ok()) return job.status();
    if (client::IsTerminal(job->state())) result.Update(VerdictOf(*job));
    jobs.push_back(*job);
    if (whole) continue;
    PrintOne(&context->console(), context->format, *job, name,
             context->quiet
                 ? ""
                 : absl::StrCat(ShortName(name), "  ", v1::JobState_Name(job->state()), "\n"),
             JobTable({&*job}, absl::Now()));
  }
  if (whole) {
    std::vector<const v1::Job*> pointers;
    for (const v1::Job& job : jobs) pointers.push_back(&job);
    PrintList(&context->console(), context->format,
              {{pointers.begin(), pointers.end()}, JobTable(pointers, absl::Now())});
  }
  return result;
}

}  // namespace

Command JobsWaitCommand() {
  Command command;
  command.words = "jobs wait";
  command.summary = "Wait for jobs to end; exit code 0 when all succeeded, 8 when one did not.";
  command.examples = {"trainyard jobs wait iris_1", "trainyard jobs wait iris_1 --timeout 10m",
                      "trainyard jobs wait iris_1 --for running"};
  command.positionals = {{.name = "JOB", .repeated = true, .complete = Complete::kJob}};
  command.flags = {
      {.name = "for", .value = "STATE", .help = "default done", .choices = "done|running"},
      {.name = "timeout", .value = "D", .help = "90s, 10m, 2h: then exit code 7"},
      {.name = "patient", .help = "also for a job that no node could ever run"}};
  command.notes = {
      "Says on stderr why a job waits. Exit code 9 when no node of the cluster could ever run it "
      "(unless --patient) or when it waited longer than its maxWait."};
  command.run = Wait;
  command.prints = true;
  return command;
}

}  // namespace trainyard::cli
