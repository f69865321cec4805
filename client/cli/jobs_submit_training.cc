// trainyard jobs submit training: a training job in the words and flags of `gcloud ml-engine`. The
// command line beats the config file.
#include <algorithm>
#include <tuple>
#include <utility>
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
#include "client/cli/fault_list.h"
#include "client/cli/follow_job.h"
#include "client/cli/job_view.h"
#include "client/cli/queue_flags.h"
#include "client/cli/submit.h"
#include "client/cli/waiting.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/spec/accelerators.h"

namespace trainyard::cli {
namespace {

constexpr int64_t kReplicasMax = 10000;

// basic-gpu -> BASIC_GPU
std::string TierName(const std::string& word) {
  return absl::AsciiStrToUpper(absl::StrReplaceAll(word, {{"-", "_"}}));
}

// "type=nvidia-tesla-t4,count=2"
absl::Status ReadAccelerator(const Arguments& arguments, const std::string& flag,
                             v1::Resources* resources) {
  if (!arguments.Has(flag)) return absl::OkStatus();
  const auto pairs = arguments.Pairs(flag);
  if (!pairs.ok()) return pairs.status();
  int count = 1;
  for (const auto& [key, value] : *pairs) {
    const bool good = key == "type" || (key == "count" && absl::SimpleAtoi(value, &count) &&
                                        count > 0 && count <= 64);
    if (!good) {
      return UsageError(absl::StrCat("\"", key, "=", value, "\" is not understood"),
                        "write type=NVIDIA_TESLA_T4,count=1", absl::StrCat("--", flag));
    }
    if (key != "type") continue;
    const absl::StatusOr<spec::Accelerator> named = spec::AcceleratorNamed(value);
    if (!named.ok()) return AtField(named.status(), absl::StrCat("--", flag));
    spec::AskFor(*named, resources);
  }
  resources->set_gpu_count(count);
  return absl::OkStatus();
}

absl::Status RefuseImage(const Arguments& arguments, const std::string& prefix) {
  const std::string flag = absl::StrCat(prefix, "-image-uri");
  if (!arguments.Has(flag)) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "NOT_SUPPORTED",
                   absl::StrCat("running in an image is not supported: ", arguments.Get(flag)),
                   "give --package-path and --module-name instead", absl::StrCat("--", flag));
}

// A pool of the CUSTOM tier from --{prefix}-machine-type, -count and -accelerator.
// `over`: what the config's section trainyard says of every replica.
absl::Status ReadPool(const Arguments& arguments, const std::string& prefix,
                      const std::string& role, const v1::Resources& over, v1::JobSpec* spec) {
  if (absl::Status status = RefuseImage(arguments, prefix); !status.ok()) return status;
  const absl::StatusOr<int64_t> count =
      arguments.Int(absl::StrCat(prefix, "-count"), 1, 0, kReplicasMax);
  if (!count.ok()) return count.status();
  v1::WorkerPool pool;
  pool.set_role(role);
  pool.set_machine_type(arguments.Get(absl::StrCat(prefix, "-machine-type")));
  pool.set_replica_count(static_cast<int32_t>(*count));
  if (absl::Status status = ReadAccelerator(arguments, absl::StrCat(prefix, "-accelerator"),
                                            pool.mutable_resources());
      !status.ok()) {
    return status;
  }
  const bool named = arguments.Has(absl::StrCat(prefix, "-machine-type")) ||
                     arguments.Has(absl::StrCat(prefix, "-count")) ||
                     arguments.Has(absl::StrCat(prefix, "-accelerator"));
  if (!named || pool.replica_count() == 0) return absl::OkStatus();
  for (v1::WorkerPool& known : *spec->mutable_worker_pools()) {
    if (known.role() != role) continue;
    known.MergeFrom(pool);
    return absl::OkStatus();
  }
  v1::Resources resources = over;
  if (pool.resources().gpu_models_size() > 0) resources.clear_gpu_models();
  resources.MergeFrom(pool.resources());
  *pool.mutable_resources() = std::move(resources);
  *spec->add_worker_pools() = std::move(pool);
  return absl::OkStatus();
}

// Takes the pool that only says the resources of all replicas out of the spec: what it said.
v1::Resources TakeTemplate(v1::JobSpec* spec) {
  if (spec->worker_pools_size() != 1) return {};
  const v1::WorkerPool& pool = spec->worker_pools(0);
  if (!pool.role().empty() || pool.replica_count() > 0 || !pool.machine_type().empty()) return {};
  v1::Resources over = pool.resources();
  spec->clear_worker_pools();
  return over;
}

// Workers stand beside a master and make the tier CUSTOM, as in a file.
absl::Status CheckWorkers(const Arguments& arguments, const v1::Resources& over,
                          v1::JobSpec* spec) {
  std::string flag;
  for (const char* name : {"worker-machine-type", "worker-accelerator", "worker-count"}) {
    if (arguments.Has(name)) flag = name;
  }
  const auto role_is = [](const char* role) {
    return [role](const v1::WorkerPool& pool) { return pool.role() == role; };
  };
  auto* const pools = spec->mutable_worker_pools();
  if (flag.empty() || std::none_of(pools->begin(), pools->end(), role_is("worker"))) {
    return absl::OkStatus();
  }
  if (spec->scale_tier().empty()) spec->set_scale_tier("CUSTOM");
  if (spec->scale_tier() != "CUSTOM") {
    return MakeError(absl::StatusCode::kInvalidArgument, "CONFLICT",
                     absl::StrCat("--", flag, " counts only with --scale-tier CUSTOM, not with ",
                                  spec->scale_tier()),
                     absl::StrCat("write --scale-tier CUSTOM, or leave out --", flag),
                     absl::StrCat("--", flag));
  }
  if (std::any_of(pools->begin(), pools->end(), role_is("master"))) return absl::OkStatus();
  v1::WorkerPool* const master = spec->add_worker_pools();
  master->set_role("master");
  master->set_replica_count(1);
  *master->mutable_resources() = over;
  std::rotate(pools->pointer_begin(), pools->pointer_end() - 1, pools->pointer_end());
  return absl::OkStatus();
}

void ApplyFlags(const Arguments& arguments, Submission* submission, FaultList* faults) {
  v1::JobSpec* const spec = &submission->spec;
  const auto set = [&arguments](const char* flag, std::string* field) {
    if (arguments.Has(flag)) *field = arguments.Get(flag);
  };
  set("module-name", spec->mutable_program()->mutable_python_module());
  set("package-path", spec->mutable_program()->mutable_package_path());
  set("job-dir", spec->mutable_job_dir());
  set("region", spec->mutable_region());
  set("runtime-version", spec->mutable_runtime_version());
  set("python-version", spec->mutable_python_version());
  set("service-account", spec->mutable_service_account());
  if (arguments.Has("scale-tier")) spec->set_scale_tier(TierName(arguments.Get("scale-tier")));
  for (const auto& [flag, field] :
       {std::pair("scale-tier", "scaleTier"), std::pair("job-dir", "jobDir"),
        std::pair("labels", "labels"), std::pair("module-name", "program.pythonModule")}) {
    if (arguments.Has(flag)) submission->flags[field] = absl::StrCat("--", flag);
  }
  for (const char* role : {"master", "worker"}) {
    for (const char* part : {"count", "accelerator", "machine-type"}) {
      const std::string flag = absl::StrCat(role, "-", part);
      if (!arguments.Has(flag)) continue;
      submission->flags[role[0] == 'm' ? "workerPools[0]" : "workerPools[1]"] =
          absl::StrCat("--", flag);
    }
  }
  NameQueueFlags(arguments, &submission->flags);
  const auto labels = arguments.Pairs("labels");
  if (faults->Add(labels)) {
    for (const auto& [key, value] : *labels) (*spec->mutable_labels())[key] = value;
  }
  faults->Add(ReadQueueFlags(arguments, spec));
  if (arguments.has_dashes()) {
    spec->mutable_program()->clear_args();
    for (const std::string& word : arguments.rest()) spec->mutable_program()->add_args(word);
  }
  const v1::Resources over = TakeTemplate(spec);
  faults->Add(ReadPool(arguments, "master", "master", over, spec));
  faults->Add(ReadPool(arguments, "worker", "worker", over, spec));
  faults->Add(CheckWorkers(arguments, over, spec));
  if (spec->worker_pools().empty() && over.ByteSizeLong() > 0) {
    *spec->add_worker_pools()->mutable_resources() = over;
  }
}

absl::Status CheckProgram(const v1::Program& program) {
  if (!program.python_module().empty() || program.command_size() > 0) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "MISSING_FIELD", "nothing says what to run",
                   "add --module-name MODULE (for example trainer.task) and --package-path FOLDER",
                   "--module-name");
}

absl::Status Submit(Context* context, const Arguments& arguments) {
  Submission submission;
  FaultList faults;
  const bool config_ok = !arguments.Has("config") ||
                         faults.Add(ReadConfig(context, arguments.Get("config"), &submission));
  ApplyFlags(arguments, &submission, &faults);
  if (!arguments.words().empty()) submission.job_id = arguments.Word(0);
  if (!submission.job_id.empty() && (config_ok || !arguments.words().empty())) {
    faults.Add(CheckJobId(submission.job_id));
  }
  const bool packages_ok = faults.Add(PlanPackages("", arguments.List("packages"), &submission));
  // A config that cannot be read whole had all its checks; what it lacks is not known.
  if (config_ok) {
    const bool has_program = faults.Add(CheckProgram(submission.spec.program()));
    if (packages_ok && has_program) {
      faults.Add(NamedFaults(
          submission,
          CheckRunnable(context, submission, "add --package-path FOLDER or --packages FILE,...")));
    }
    faults.Add(CheckSpec(context, submission, /*program_told=*/!has_program));
  }
  if (!faults.ok()) return faults.Take();
  if (arguments.Has("plan")) return ShowPlan(context, submission);
  if (arguments.Has("validate-only")) return ValidateOnly(context, std::move(submission));
  SayNotes(context, submission);
  const bool patient = arguments.Has("patient");
  const Never never = patient ? Never() : WhyNever(context, submission.spec);
  const absl::StatusOr<v1::Job> job = Send(context, std::move(submission));
  if (!job.ok()) return job.status();
  const bool follows = arguments.Has("stream-logs") && !arguments.Has("async");
  Announce(context, *job, follows && never.reason.empty());
  if (!never.reason.empty()) return NeverError(ShortName(job->name()), never);
  return follows ? FollowToEnd(context, *job, /*split=*/false, patient) : absl::OkStatus();
}

std::vector<Flag> SubmitFlags() {
  std::vector<Flag> flags = {
      {.name = "module-name", .value = "M", .help = "module to run, for example trainer.task"},
      {.name = "package-path",
       .value = "FOLDER",
       .help = "the Python package, with or without a setup.py beside it",
       .complete = Complete::kFolder},
      {.name = "packages",
       .value = "FILE,...",
       .help = "source archives and wheels to install",
       .complete = Complete::kFile,
       .repeated = true},
      {.name = "config",
       .value = "FILE",
       .help = "YAML or JSON of the job; flags win",
       .complete = Complete::kFile},
      {.name = "scale-tier",
       .value = "TIER",
       .help = "basic, standard-1, premium-1, basic-gpu, custom",
       .complete = Complete::kTier},
      {.name = "job-dir", .value = "URI", .help = "passed to the program as --job-dir"},
      {.name = "labels", .value = "K=V,...", .help = "kept with the job", .repeated = true},
      {.name = "stream-logs", .help = "follow the log until the job ends"},
      {.name = "async", .help = "return at once (the default)"},
      {.name = "validate-only", .help = "check with the scheduler, submit nothing"},
  };
  for (const Flag& flag : QueueFlags()) flags.push_back(flag);
  for (const auto& [name, value, help] :
       {std::tuple("master-machine-type", "TYPE", "of the custom tier; brings GPUs alone"),
        std::tuple("master-accelerator", "A", "type=NVIDIA_TESLA_T4,count=1"),
        std::tuple("worker-machine-type", "TYPE", "of the custom tier"),
        std::tuple("worker-accelerator", "A", "type=NVIDIA_TESLA_T4,count=1"),
        std::tuple("worker-count", "N", "replicas beside the master"),
        std::tuple("master-image-uri", "IMAGE", "refused: images are not supported"),
        std::tuple("worker-image-uri", "IMAGE", "refused: images are not supported")}) {
    flags.push_back({.name = name, .value = value, .help = help});
  }
  flags.push_back({.name = "region", .value = "R", .help = "kept with the job"});
  flags.push_back({.name = "runtime-version", .value = "V", .help = "kept with the job"});
  flags.push_back({.name = "python-version", .value = "V", .help = "kept with the job"});
  flags.push_back({.name = "service-account", .value = "NAME", .help = "kept with the job"});
  for (const char* name :
       {"staging-bucket", "parameter-server-machine-type", "parameter-server-count",
        "parameter-server-accelerator", "parameter-server-image-uri", "network", "kms-key",
        "kms-keyring", "kms-location", "kms-project"}) {
    flags.push_back({.name = name, .value = "X", .quiet = true});
  }
  flags.push_back({.name = "use-chief-in-tf-config", .quiet = true});
  flags.push_back({.name = "enable-web-access", .quiet = true});
  return flags;
}

}  // namespace

Command JobsSubmitTrainingCommand() {
  Command command;
  command.words = "jobs submit training";
  command.summary = "Submit a training job: a Python module of a package.";
  command.examples = {
      "trainyard jobs submit training iris_1 --scale-tier BASIC --module-name trainer.task \\",
      "    --package-path trainer --stream-logs -- --train_steps 1000",
      "trainyard jobs submit training iris_2 --config job.yaml",
      "trainyard jobs submit training iris_3 --module-name trainer.task \\",
      "    --packages dist/trainer-0.1.tar.gz --scale-tier custom \\",
      "    --master-machine-type n1-standard-8 --worker-count 3 --worker-machine-type "
      "n1-standard-8"};
  command.positionals = {{.name = "JOB", .required = false}};
  command.flags = SubmitFlags();
  command.run = Submit;
  command.rest = Rest::kAfterDashes;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
