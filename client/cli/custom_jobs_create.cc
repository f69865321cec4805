// trainyard custom-jobs create: a job from worker pools, in the words of `gcloud ai`.
#include <map>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/check_program.h"
#include "client/cli/context.h"
#include "client/cli/create_flags.h"
#include "client/cli/fault_list.h"
#include "client/cli/follow_job.h"
#include "client/cli/job_view.h"
#include "client/cli/queue_flags.h"
#include "client/cli/submit.h"
#include "client/cli/waiting.h"
#include "common/errors.h"
#include "common/spec/accelerators.h"

namespace trainyard::cli {
namespace {

constexpr char kPoolKeys[] =
    "replica-count, machine-type, accelerator-type, accelerator-count, python-module, "
    "local-package-path";

// The image that a package would run in, or would become.
bool IsImageOfPackage(absl::string_view key) {
  return key == "executor-image-uri" || key == "output-image-uri";
}

absl::Status NotSupported(absl::string_view key, absl::string_view why, absl::string_view fix) {
  return MakeError(absl::StatusCode::kInvalidArgument, "NOT_SUPPORTED", why, fix,
                   absl::StrCat("--worker-pool-spec ", key));
}

absl::Status PoolError(const std::string& part, const std::string& why) {
  const std::vector<std::string> keys = absl::StrSplit(kPoolKeys, ", ");
  const std::string nearest = NearestName(part, keys);
  return UsageError(
      absl::StrCat("\"", part, "\" ", why),
      absl::StrCat(nearest.empty() ? "" : absl::StrCat("did you mean ", nearest, "? "),
                   "keys are: ", kPoolKeys),
      "--worker-pool-spec");
}

absl::Status ApplyPoolKey(const std::string& key, const std::string& value, v1::WorkerPool* pool,
                          v1::Program* program) {
  int count = 0;
  if (key == "replica-count" || key == "accelerator-count") {
    if (!absl::SimpleAtoi(value, &count) || count < 1) {
      return UsageError(absl::StrCat("\"", value, "\" is no count"),
                        "write a whole number from 1 on", absl::StrCat("--worker-pool-spec ", key));
    }
    if (key == "replica-count") pool->set_replica_count(count);
    if (key == "accelerator-count") pool->mutable_resources()->set_gpu_count(count);
  } else if (key == "machine-type") {
    pool->set_machine_type(value);
  } else if (key == "accelerator-type") {
    const absl::StatusOr<spec::Accelerator> named = spec::AcceleratorNamed(value);
    if (!named.ok()) return AtField(named.status(), absl::StrCat("--worker-pool-spec ", key));
    spec::AskFor(*named, pool->mutable_resources());
  } else if (key == "python-module") {
    program->set_python_module(value);
  } else if (key == "local-package-path") {
    program->set_package_path(value);
  } else if (key == "container-image-uri") {
    return MakeError(absl::StatusCode::kInvalidArgument, "NOT_SUPPORTED",
                     absl::StrCat("running in an image is not supported: ", value),
                     "give python-module and local-package-path, or --command",
                     absl::StrCat("--worker-pool-spec ", key));
  } else if (key == "script") {
    return NotSupported(key, "a script alone is no package",
                        absl::StrCat("trainyard run ", value,
                                     ", or put it into a package and give local-package-path and "
                                     "python-module"));
  } else if (key == "requirements" || key == "extra-packages" || key == "extra-dirs") {
    return NotSupported(key, "it is for building an image, and none is built",
                        "give a package with a setup.py as local-package-path: the nodes install "
                        "what it needs; or source archives and wheels as packageUris in --config");
  } else if (!IsImageOfPackage(key)) {
    return PoolError(key, "is not a known key");
  }
  return absl::OkStatus();
}

// One pool from "replica-count=2,machine-type=..."; every part that is wrong is told.
void ApplyPool(const std::string& text, v1::JobSpec* spec, FaultList* faults) {
  v1::WorkerPool pool;
  pool.set_replica_count(1);
  pool.set_role(spec->worker_pools_size() == 0 ? "master" : "worker");
  for (const std::string& part :
       std::vector<std::string>(absl::StrSplit(text, ',', absl::SkipEmpty()))) {
    const size_t equals = part.find('=');
    if (equals == std::string::npos) {
      faults->Add(UsageError(absl::StrCat("\"", part, "\" is no KEY=VALUE pair"),
                             absl::StrCat("write KEY=VALUE; keys are: ", kPoolKeys),
                             "--worker-pool-spec"));
      continue;
    }
    faults->Add(ApplyPoolKey(part.substr(0, equals), part.substr(equals + 1), &pool,
                             spec->mutable_program()));
  }
  if (pool.resources().gpu_models_size() > 0 && pool.resources().gpu_count() == 0) {
    pool.mutable_resources()->set_gpu_count(1);
  }
  *spec->add_worker_pools() = std::move(pool);
}

void ApplyPools(const Arguments& arguments, v1::JobSpec* spec, FaultList* faults) {
  const std::vector<std::string> pools = arguments.All("worker-pool-spec");
  if (!pools.empty()) spec->clear_worker_pools();
  for (const std::string& text : pools) ApplyPool(text, spec, faults);
}

// The command is taken as it is written for elsewhere; what has no effect here is said.
void SayUnusedImages(const Arguments& arguments, Console* console) {
  for (const std::string& text : arguments.All("worker-pool-spec")) {
    for (const absl::string_view part : absl::StrSplit(text, ',')) {
      const absl::string_view key = part.substr(0, part.find('='));
      if (!IsImageOfPackage(key)) continue;
      console->Note(absl::StrCat(key, " has no effect: packages run in the nodes' own Python"));
    }
  }
}

void ApplyProgram(const Arguments& arguments, v1::JobSpec* spec) {
  v1::Program* program = spec->mutable_program();
  if (arguments.Has("command")) {
    program->clear_command();
    for (const std::string& word : arguments.List("command")) program->add_command(word);
  }
  if (arguments.Has("args") || arguments.has_dashes()) program->clear_args();
  for (const std::string& word : arguments.List("args")) program->add_args(word);
  for (const std::string& word : arguments.rest()) program->add_args(word);
}

absl::Status CheckProgram(const v1::Program& program) {
  if (!program.python_module().empty() || program.command_size() > 0) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "MISSING_FIELD", "nothing says what to run",
                   "give --config FILE, or --command PROGRAM, or --worker-pool-spec with "
                   "python-module and local-package-path",
                   "program");
}

void NameFlags(const Arguments& arguments, std::map<std::string, std::string>* flags) {
  if (arguments.Has("command")) (*flags)["program.command"] = "--command";
  if (arguments.Has("args")) (*flags)["program.args"] = "--args";
  if (!arguments.Has("worker-pool-spec")) return;
  (*flags)["workerPools"] = "--worker-pool-spec";
  for (const std::string& pool : arguments.All("worker-pool-spec")) {
    if (absl::StrContains(pool, "python-module=")) {
      (*flags)["program.pythonModule"] = "--worker-pool-spec python-module";
    }
  }
}

absl::Status Create(Context* context, const Arguments& arguments) {
  Submission submission;
  FaultList faults;
  const bool config_ok = ReadCreateFlags(context, arguments, &submission, &faults);
  ApplyPools(arguments, &submission.spec, &faults);
  ApplyProgram(arguments, &submission.spec);
  NameFlags(arguments, &submission.flags);
  const bool packages_ok = faults.Add(PlanPackages(
      arguments.Get("package-path"), arguments.List("python-package-uris"), &submission));
  // A config that cannot be read whole had all its checks; what it lacks is not known.
  if (config_ok) {
    const bool has_program = faults.Add(CheckProgram(submission.spec.program()));
    if (packages_ok && has_program) {
      faults.Add(NamedFaults(submission, CheckRunnable(context, submission, kPackageAdvice)));
    }
    faults.Add(CheckSpec(context, submission, /*program_told=*/!has_program));
  }
  if (!faults.ok()) return faults.Take();
  if (arguments.Has("plan")) return ShowPlan(context, submission);
  if (arguments.Has("validate-only")) return ValidateOnly(context, std::move(submission));
  SayUnusedImages(arguments, &context->console());
  SayNotes(context, submission);
  const bool patient = arguments.Has("patient");
  const Never never = patient ? Never() : WhyNever(context, submission.spec);
  const absl::StatusOr<v1::Job> job = Send(context, std::move(submission));
  if (!job.ok()) return job.status();
  const bool follows = arguments.Has("stream");
  Announce(context, *job, follows && never.reason.empty());
  if (!never.reason.empty()) return NeverError(ShortName(job->name()), never);
  return follows ? FollowToEnd(context, *job, /*split=*/false, patient) : absl::OkStatus();
}

}  // namespace

Command CustomJobsCreateCommand() {
  Command command;
  command.words = "custom-jobs create";
  command.summary = "Create a job from worker pools.";
  command.examples = {
      "trainyard custom-jobs create --display-name iris --config config.yaml",
      "trainyard custom-jobs create --display-name iris --args=--epochs,3 \\",
      "    "
      "--worker-pool-spec=replica-count=2,python-module=trainer.task,local-package-path=trainer",
      "trainyard custom-jobs create --display-name hello --command /bin/echo,hello"};
  command.positionals = {{.name = "JOB", .required = false}};
  command.flags = CreateFlags();
  command.flags.push_back({.name = "worker-pool-spec",
                           .value = "K=V,...",
                           .help = "one a pool; the first is the primary",
                           .repeated = true});
  command.flags.push_back(
      {.name = "command", .value = "WORD,...", .help = "program to run", .repeated = true});
  command.flags.push_back(
      {.name = "args", .value = "WORD,...", .help = "for the program", .repeated = true});
  command.run = Create;
  command.rest = Rest::kAfterDashes;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
