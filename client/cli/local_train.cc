// trainyard local train: the program with the argv and environment it would have as a job, on this
// machine, without a cluster.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/local_run.h"
#include "client/cli/submit.h"
#include "common/errors.h"

namespace trainyard::cli {
namespace {

constexpr int kRanksMax = 256;
constexpr int kDistributedDefault = 2;

// --distributed [N], or --worker-count W for one more than W.
absl::StatusOr<int> RanksOf(const Arguments& arguments) {
  if (arguments.Has("worker-count") && arguments.Has("distributed")) {
    return UsageError("--worker-count and --distributed both say how many ranks",
                      "leave one of them out");
  }
  if (arguments.Has("worker-count")) {
    const absl::StatusOr<int64_t> workers = arguments.Int("worker-count", 0, 0, kRanksMax - 1);
    if (!workers.ok()) return workers.status();
    return static_cast<int>(*workers) + 1;
  }
  if (!arguments.Has("distributed")) return 1;
  if (arguments.Get("distributed").empty()) return kDistributedDefault;
  const absl::StatusOr<int64_t> ranks = arguments.Int("distributed", 1, 1, kRanksMax);
  if (!ranks.ok()) return ranks.status();
  return static_cast<int>(*ranks);
}

absl::Status Train(Context* context, const Arguments& arguments) {
  Submission submission;
  if (arguments.Has("config")) {
    const absl::Status status = ReadConfig(context, arguments.Get("config"), &submission);
    if (!status.ok()) return status;
  }
  v1::Program* program = submission.spec.mutable_program();
  if (arguments.Has("module-name")) program->set_python_module(arguments.Get("module-name"));
  if (program->python_module().empty() && program->command_size() == 0) {
    return UsageError("--module-name is missing",
                      "for example --module-name trainer.task "
                      "--package-path trainer");
  }
  if (arguments.has_dashes()) {
    program->clear_args();
    for (const std::string& word : arguments.rest()) program->add_args(word);
  }
  const absl::StatusOr<int> ranks = RanksOf(arguments);
  if (!ranks.ok()) return ranks.status();
  const absl::Status status = PlanPackages(arguments.Get("package-path"), {}, &submission);
  if (!status.ok()) return status;
  LocalRun run;
  run.program = *program;
  run.ranks = *ranks;
  run.launcher = submission.spec.launch().launcher();
  run.job_dir = arguments.Get("job-dir", submission.spec.job_dir());
  for (const client::PackagePlan& plan : submission.packages) {
    if (plan.folder.empty()) {
      return MakeError(
          absl::StatusCode::kInvalidArgument, "NOT_SUPPORTED",
          absl::StrCat("the archive ", plan.uri, " is installed on the nodes of a cluster alone"),
          "unpack it here and give its folder as --package-path, or submit the job",
          "program.packages");
    }
    run.package_roots.push_back(plan.folder);
  }
  return RunLocally(context, run);
}

}  // namespace

Command LocalTrainCommand() {
  Command command;
  command.words = "local train";
  command.summary = "Train on this machine without a cluster, with the same arguments as a job.";
  command.examples = {
      "trainyard local train --module-name trainer.task --package-path trainer -- --train_steps 10",
      "trainyard local train --module-name trainer.task --package-path trainer --distributed 2"};
  command.flags = {
      {.name = "module-name", .value = "M", .help = "module to run, for example trainer.task"},
      {.name = "package-path",
       .value = "FOLDER",
       .help = "the Python package; paths are relative to its parent",
       .complete = Complete::kFolder},
      {.name = "job-dir",
       .value = "DIR",
       .help = "passed to the program as --job-dir",
       .complete = Complete::kFolder},
      {.name = "distributed",
       .value = "[N]",
       .help = "so many ranks under mpirun; 2 when no number is given",
       .optional_value = true},
      {.name = "worker-count", .value = "N", .help = "ranks beside the first"},
      {.name = "config",
       .value = "FILE",
       .help = "YAML or JSON of the job; flags win",
       .complete = Complete::kFile},
      {.name = "parameter-server-count", .value = "N", .quiet = true},
      {.name = "evaluator-count", .value = "N", .quiet = true},
      {.name = "start-port", .value = "N", .quiet = true}};
  command.run = Train;
  command.rest = Rest::kAfterDashes;
  return command;
}

}  // namespace trainyard::cli
