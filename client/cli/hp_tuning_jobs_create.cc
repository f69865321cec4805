// trainyard hp-tuning-jobs create: a tuning job from a config in the managed services' shapes; the
// command line beats the file. --stream shows the trials as they go.
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/check_program.h"
#include "client/cli/context.h"
#include "client/cli/create_flags.h"
#include "client/cli/fault_list.h"
#include "client/cli/job_view.h"
#include "client/cli/progress.h"
#include "client/cli/queue_flags.h"
#include "client/cli/submit.h"
#include "client/cli/waiting.h"
#include "common/errors.h"

namespace trainyard::cli {
namespace {

constexpr int64_t kTrialsMax = 1000000;

void ApplyCounts(const Arguments& arguments, v1::JobSpec* spec, FaultList* faults) {
  const auto trials = arguments.Int("max-trial-count", spec->max_trial_count(), 1, kTrialsMax);
  const auto parallel =
      arguments.Int("parallel-trial-count", spec->parallel_trial_count(), 1, kTrialsMax);
  const auto failed =
      arguments.Int("max-failed-trial-count", spec->max_failed_trial_count(), 0, kTrialsMax);
  const auto seed =
      arguments.Int("seed", static_cast<int64_t>(spec->study_spec().seed()), 0, INT64_MAX);
  if (faults->Add(trials)) spec->set_max_trial_count(*trials);
  if (faults->Add(parallel)) spec->set_parallel_trial_count(*parallel);
  if (faults->Add(failed)) spec->set_max_failed_trial_count(*failed);
  if (faults->Add(seed) && arguments.Has("seed")) {
    spec->mutable_study_spec()->set_seed(static_cast<uint64_t>(*seed));
  }
}

absl::Status ApplyAlgorithm(const Arguments& arguments, v1::JobSpec* spec) {
  if (!arguments.Has("algorithm")) return absl::OkStatus();
  std::string name = absl::AsciiStrToUpper(arguments.Get("algorithm"));
  for (char& c : name) c = c == '-' ? '_' : c;
  if (name == "BAYESIAN" || name == "DEFAULT") name = "ALGORITHM_UNSPECIFIED";
  if (name == "GRID_SEARCH") name = "GRID";
  if (name == "RANDOM_SEARCH") name = "RANDOM";
  v1::StudySpec::Algorithm algorithm = v1::StudySpec::ALGORITHM_UNSPECIFIED;
  if (!v1::StudySpec::Algorithm_Parse(name, &algorithm)) {
    return UsageError(absl::StrCat("\"", arguments.Get("algorithm"), "\" is not an algorithm"),
                      "one of: default, grid-search, random-search, sobol, tpe, gp, cma-es, pbt, "
                      "bohb",
                      "--algorithm");
  }
  spec->mutable_study_spec()->set_algorithm(algorithm);
  return absl::OkStatus();
}

absl::Status CheckSearchSpace(const v1::JobSpec& spec) {
  if (spec.has_study_spec()) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "MISSING_FIELD",
                   "a tuning job needs a search space",
                   "give --config FILE with a studySpec (or hyperparameters); a job without one: "
                   "trainyard custom-jobs create",
                   "studySpec");
}

absl::Status Create(Context* context, const Arguments& arguments) {
  Submission submission;
  FaultList faults;
  const bool config_ok = ReadCreateFlags(context, arguments, &submission, &faults);
  // The flags would make a search space of nothing.
  const absl::Status space = CheckSearchSpace(submission.spec);
  ApplyCounts(arguments, &submission.spec, &faults);
  faults.Add(ApplyAlgorithm(arguments, &submission.spec));
  if (arguments.has_dashes()) submission.spec.mutable_program()->clear_args();
  for (const std::string& word : arguments.rest()) {
    submission.spec.mutable_program()->add_args(word);
  }
  const bool packages_ok = faults.Add(PlanPackages(
      arguments.Get("package-path"), arguments.List("python-package-uris"), &submission));
  // A config that cannot be read whole had all its checks; what it lacks is not known.
  if (config_ok && faults.Add(space)) {
    if (packages_ok) {
      faults.Add(NamedFaults(submission, CheckRunnable(context, submission, kPackageAdvice)));
    }
    faults.Add(CheckSpec(context, submission));
  }
  if (!faults.ok()) return faults.Take();
  if (arguments.Has("plan")) return ShowPlan(context, submission);
  if (arguments.Has("validate-only")) return ValidateOnly(context, std::move(submission));
  SayNotes(context, submission);
  const bool patient = arguments.Has("patient");
  const Never never = patient ? Never() : WhyNever(context, submission.spec);
  const absl::StatusOr<v1::Job> job = Send(context, std::move(submission));
  if (!job.ok()) return job.status();
  const bool follows = arguments.Has("stream") || arguments.Has("wait");
  Announce(context, *job, follows && never.reason.empty());
  if (!never.reason.empty()) return NeverError(ShortName(job->name()), never);
  return follows ? ShowProgress(context, *job, patient) : absl::OkStatus();
}

}  // namespace

Command HpTuningJobsCreateCommand() {
  Command command;
  command.words = "hp-tuning-jobs create";
  command.summary = "Create a tuning job: many trials of one program, in search of the best.";
  command.examples = {
      "trainyard hp-tuning-jobs create digits --config tuning.yaml --stream",
      "trainyard hp-tuning-jobs create --display-name digits --config tuning.yaml \\",
      "    --max-trial-count 20 --parallel-trial-count 4"};
  command.positionals = {{.name = "JOB", .required = false}};
  command.flags = {
      {.name = "max-trial-count", .value = "N", .help = "trials in all"},
      {.name = "parallel-trial-count", .value = "N", .help = "trials at a time"},
      {.name = "max-failed-trial-count", .value = "N", .help = "failures before giving up"},
      {.name = "algorithm",
       .value = "A",
       .help = "default, grid-search, random-search, sobol, tpe, gp, cma-es, pbt, bohb"},
      {.name = "seed", .value = "N", .help = "the same seed suggests the same"},
      {.name = "wait", .help = "the same as --stream"}};
  const std::vector<Flag> shared = CreateFlags();
  command.flags.insert(command.flags.begin(), shared.begin(), shared.end());
  command.run = Create;
  command.rest = Rest::kAfterDashes;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
