// trainyard trials: the trials of a tuning job as a table.
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_parts.h"
#include "client/cli/output.h"
#include "client/cli/trial_view.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

absl::Status Trials(Context* context, const Arguments& arguments) {
  const absl::StatusOr<std::string> name = context->JobNameOf(arguments.Word(0));
  if (!name.ok()) return name.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::GetJobRequest request;
  request.set_name(*name);
  const absl::StatusOr<v1::Job> job = (*client)->GetJob(request);
  if (!job.ok()) return job.status();
  if (absl::Status status = CheckTuning(*job); !status.ok()) return status;
  const absl::StatusOr<std::vector<v1::Trial>> trials = FetchTrials(*client, *job);
  if (!trials.ok()) return trials.status();
  List list{{}, TrialTable(*trials, job->spec().study_spec(), context->format == Format::kCsv)};
  for (const v1::Trial& trial : *trials) list.items.push_back(&trial);
  PrintList(&context->console(), context->format, list);
  return absl::OkStatus();
}

}  // namespace

Command TrialsCommand() {
  Command command;
  command.words = "trials";
  command.summary = "Show a tuning job's trials: state, objective, step, parameters.";
  command.examples = {"trainyard trials digits", "trainyard trials digits -o csv > trials.csv"};
  command.positionals = {{.name = "JOB", .complete = Complete::kJob}};
  command.run = Trials;
  command.prints = true;
  return command;
}

}  // namespace trainyard::cli
