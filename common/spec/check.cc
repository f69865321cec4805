// Checks of jobs. See check.h.
#include "common/spec/check.h"

#include <algorithm>
#include <limits>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/errors.h"
#include "common/spec/limits.h"
#include "common/spec/metric_pattern.h"
#include "common/spec/search_space.h"
#include "common/spec/spec.h"
#include "common/spec/text.h"
#include "common/variables.h"
#include "re2/re2.h"

namespace trainyard::spec {
namespace {

// Times of the journal are micros in 64 bits; this leaves room for any sum of them.
constexpr int64_t kSpanSecondsMax = int64_t{100} * 366 * 86400;

bool IsLabel(absl::string_view text) {
  return text.size() <= 64 && std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_' || c == '-' ||
                  c >= 0x80;
         });
}

bool IsModule(absl::string_view text) {
  for (absl::string_view part : absl::StrSplit(text, '.')) {
    if (part.empty() || absl::ascii_isdigit(static_cast<unsigned char>(part[0]))) return false;
    for (unsigned char c : part) {
      if (!absl::ascii_isalnum(c) && c != '_' && c < 0x80) return false;
    }
  }
  return true;
}

// "trainer/task.py" -> "trainer.task"
std::string ModuleOf(absl::string_view text) {
  std::string module(text);
  if (absl::EndsWith(module, ".py")) module.resize(module.size() - 3);
  for (char& c : module) {
    if (c == '/' || c == '-' || c == ' ') c = c == '/' ? '.' : '_';
  }
  while (absl::StartsWith(module, ".")) module.erase(0, 1);
  return IsModule(module) ? module : "trainer.task";
}

void CheckLabels(const v1::JobSpec& spec, Checker* checker) {
  if (spec.display_name().size() > 128) {
    checker->Say("displayName", "BAD_NAME",
                 absl::StrCat("the display name has ", spec.display_name().size(), " characters"),
                 "at most 128", "shorten it");
  }
  for (const auto& [key, value] : spec.labels()) {
    if (!key.empty() && IsLabel(key) && IsLabel(value)) continue;
    checker->Say(
        "labels", "BAD_NAME",
        absl::StrCat("the label \"", Shorten(key), ": ", Shorten(value), "\" is not allowed"),
        "keys and values of lower-case letters, digits, '_' and '-', at most 64 characters",
        absl::StrCat("for example ", absl::AsciiStrToLower(SuggestId(key)), ": ",
                     absl::AsciiStrToLower(SuggestId(value))));
  }
}

void CheckProgram(const v1::Program& program, Checker* checker) {
  if (!program.python_module().empty() && !IsModule(program.python_module())) {
    checker->Say("program.pythonModule", "BAD_VALUE",
                 absl::StrCat("\"", Shorten(program.python_module()), "\" is no module name"),
                 "package.module, as after python3 -m",
                 absl::StrCat("write ", ModuleOf(program.python_module())));
  }
  if (!program.python_module().empty() && !program.command().empty()) {
    checker->Say("program.command", "CONFLICT", "the job has both a command and a Python module",
                 "one of the two", "remove one of them");
  }
  if (program.packages_size() > kPackagesMax) {
    checker->Say("program.packages", "OUT_OF_RANGE",
                 absl::StrCat("there are ", program.packages_size(), " packages"),
                 absl::StrCat("at most ", kPackagesMax), "put several modules into one package");
  }
  if (program.env().size() > static_cast<size_t>(kEnvMax)) {
    checker->Say("program.env", "OUT_OF_RANGE",
                 absl::StrCat("there are ", program.env().size(), " environment variables"),
                 absl::StrCat("at most ", kEnvMax), "pass values as arguments or in a file");
  }
  for (const auto& [name, value] : program.env()) {
    if (!IsVariableName(name)) {
      checker->Say("program.env", "BAD_NAME",
                   absl::StrCat("\"", Shorten(name), "\" cannot be an environment variable"),
                   "letters, digits and '_', not beginning with a digit", "rename it");
    } else if (UseOfVariable(name) == VariableUse::kOurs) {
      checker->Say("program.env", "BAD_VALUE",
                   absl::StrCat("a job cannot set ", name,
                                ": it is set by Trainyard or changes what is loaded into it"),
                   "a variable of the program's own", absl::StrCat("remove ", name, " from env"));
    } else if (value.find('\0') != std::string::npos || value.size() > kEnvValueBytesMax) {
      checker->Say("program.env", "BAD_VALUE",
                   absl::StrCat("the value of ", name, " holds a zero byte or is too long"),
                   absl::StrCat("at most ", kEnvValueBytesMax, " bytes"),
                   "put long values into a file of the package");
    }
  }
}

// "3g.40gb", "1g.10gb+me".
bool IsSliceProfile(const std::string& profile) {
  static const auto* const profile_words = new RE2(R"(\d+g\.\d+gb(\+[a-z]+)?)");
  return RE2::FullMatch(profile, *profile_words);
}

void CheckPool(const v1::WorkerPool& pool, const std::string& path, Checker* checker) {
  const v1::Resources& resources = pool.resources();
  if (pool.replica_count() < 0 || pool.replica_count() > kRanksMax) {
    checker->Say(Under(path, "replicaCount"), "OUT_OF_RANGE",
                 absl::StrCat("the pool has ", pool.replica_count(), " replicas"),
                 absl::StrCat("1 to ", kRanksMax), "write a count in that range");
  }
  if (resources.cpu_milli() < 0 || resources.memory_bytes() < 0 || resources.gpu_count() < 0 ||
      resources.cpu_milli() > kCpuMilliMax || resources.gpu_count() > kGpusMax) {
    checker->Say(Under(path, "resources"), "OUT_OF_RANGE",
                 "a resource is negative or beyond any machine",
                 absl::StrCat("cpuMilli up to ", kCpuMilliMax, ", gpus up to ", kGpusMax),
                 "write what one replica needs");
  }
  if (resources.gpu_milli() < 0 || resources.gpu_milli() > 999) {
    checker->Say(Under(path, "resources"), "OUT_OF_RANGE",
                 absl::StrCat("gpuMilli is ", resources.gpu_milli()), "1 to 999",
                 "use gpus: 1 for a whole device");
  }
  if (!resources.gpu_profile().empty() &&
      (resources.gpu_count() < 1 || resources.gpu_milli() > 0)) {
    checker->Say(Under(path, "resources"), "CONFLICT",
                 absl::StrCat("a replica names the slice ", Shorten(resources.gpu_profile()),
                              " but does not say how many"),
                 "gpus: the number of slices, without gpuMilli", "write gpus: 1");
  }
  if (!resources.gpu_profile().empty() && !IsSliceProfile(resources.gpu_profile())) {
    checker->Say(Under(path, "resources"), "BAD_VALUE",
                 absl::StrCat("\"", Shorten(resources.gpu_profile()), "\" is no MIG profile"),
                 "compute slices and memory: 1g.10gb, 3g.40gb", "write the profile of nvidia-smi");
  }
  const bool no_gpu = resources.gpu_count() == 0 && resources.gpu_milli() == 0;
  if (no_gpu && (resources.gpu_memory_bytes() > 0 || resources.gpu_models_size() > 0)) {
    checker->Say(Under(path, "resources"), "CONFLICT",
                 "a replica says which GPUs it accepts and asks for none", "gpus or gpuMilli",
                 "write gpus: 1, or leave the models and their memory out");
  }
  if (resources.gpu_memory_bytes() < 0) {
    checker->Say(Under(path, "resources"), "OUT_OF_RANGE", "gpuMemory is negative",
                 "the memory that each GPU has at least", "write for example 40GiB");
  }
  if (resources.gpu_milli() > 0 && resources.gpu_count() > 0) {
    checker->Say(Under(path, "resources"), "CONFLICT",
                 "a replica asks for whole GPUs and for a share of one", "gpus or gpuMilli",
                 "remove one of the two");
  }
}

void CheckPools(const v1::JobSpec& spec, Checker* checker) {
  int64_t ranks = 0;
  for (int i = 0; i < spec.worker_pools_size(); ++i) {
    const v1::WorkerPool& pool = spec.worker_pools(i);
    CheckPool(pool, At("", "workerPools", i), checker);
    ranks += static_cast<int64_t>(std::max(pool.replica_count(), 0)) *
             std::max(spec.launch().processes_per_replica(), 1);
  }
  if (ranks > kRanksMax) {
    checker->Say("workerPools", "OUT_OF_RANGE", absl::StrCat("the job has ", ranks, " ranks"),
                 absl::StrCat("at most ", kRanksMax), "lower replicaCount or processesPerReplica");
  }
}

void CheckScheduling(const v1::JobSpec& spec, Checker* checker) {
  const v1::Scheduling& scheduling = spec.scheduling();
  const auto range = [checker](absl::string_view name, int64_t value, int64_t min, int64_t max) {
    if (value >= min && value <= max) return;
    checker->Say(absl::StrCat("scheduling.", name), "OUT_OF_RANGE",
                 absl::StrCat(name, " is ", value), absl::StrCat(min, " to ", max),
                 "write a number in that range");
  };
  range("priority", scheduling.priority(), 0, 1000);
  range("maxRetries", scheduling.max_retries(), 0, kRetriesMax);
  range("maxInfrastructureRetries", scheduling.max_infrastructure_retries(), -1, kRetriesMax);
  const auto span = [checker](absl::string_view name, const google::protobuf::Duration& value) {
    if (value.seconds() >= 0 && value.nanos() >= 0 && value.seconds() <= kSpanSecondsMax) return;
    checker->Say(absl::StrCat("scheduling.", name), "OUT_OF_RANGE",
                 absl::StrCat(name, value.seconds() > 0 ? " is too long" : " is negative"),
                 "0 to 100 years", "write a duration such as 10m");
  };
  range("topology.atMost", scheduling.topology().at_most(), 0, kRanksMax);
  span("timeout", scheduling.timeout());
  span("maxWait", scheduling.max_wait());
  span("grace", scheduling.grace());
  span("stagingTimeout", scheduling.staging_timeout());
  span("publishTimeout", scheduling.publish_timeout());
  span("stopAfter", scheduling.stop_after());
}

void CheckPlace(absl::string_view name, const std::string& value, Checker* checker) {
  const size_t scheme_end = value.find("://");
  for (const char* scheme : {"gs:", "s3:"}) {
    if (!absl::StartsWith(value, scheme) || scheme_end != std::string::npos) continue;
    const std::string rest(absl::StripPrefix(absl::string_view(value).substr(3), "/"));
    checker->Say(
        name, "BAD_VALUE", absl::StrCat("\"", Shorten(value), "\" names no bucket"),
        "gs://bucket/path",
        absl::StrCat("write ", scheme, "//", rest.empty() ? "bucket/path" : Shorten(rest)));
    return;
  }
  if (value.empty() || scheme_end == std::string::npos) return;
  const std::string scheme = value.substr(0, scheme_end);
  if (scheme == "gs" || scheme == "s3") {
    if (value.size() > scheme_end + 3 && value[scheme_end + 3] != '/') return;
    checker->Say(name, "BAD_VALUE", absl::StrCat("\"", Shorten(value), "\" names no bucket"),
                 "gs://bucket/path", "write the bucket after gs://");
    return;
  }
  checker->Say(name, "BAD_VALUE",
               absl::StrCat("nothing can be written to \"", Shorten(value), "\""),
               "gs://bucket/path, s3://bucket/path or a path",
               "write gs://bucket/path; a bucket is a folder of the cluster's own store");
}

void CheckRegex(const v1::JobSpec& spec, Checker* checker) {
  const std::string& text = spec.metrics().regex();
  if (text.empty()) return;
  if (text.size() > kRegexBytesMax) {
    checker->Say("metrics.regex", "BAD_VALUE",
                 absl::StrCat("the expression has ", text.size(), " bytes"),
                 absl::StrCat("at most ", kRegexBytesMax), "shorten it");
    return;
  }
  const absl::Status compiled =
      CompileMetricPattern(text, spec.study_spec().metrics_size() > 0).status();
  if (compiled.ok()) return;
  const v1::Fault fault = FaultsOf(compiled).faults(0);
  checker->Say("metrics.regex", fault.reason(), fault.message(),
               "a regular expression with one group for the value, or with two for name and value",
               fault.fix());
}

}  // namespace

void Checker::Say(absl::string_view path, absl::string_view reason, absl::string_view message,
                  absl::string_view expected, absl::string_view fix) {
  v1::Fault* fault = faults_->add_faults();
  fault->set_field(std::string(path));
  fault->set_reason(std::string(reason));
  fault->set_message(std::string(message));
  fault->set_expected(std::string(expected));
  fault->set_fix(std::string(fix));
}

void CheckTrialCounts(const v1::JobSpec& spec, Checker* checker) {
  const auto count = [checker](absl::string_view name, int64_t value, int64_t max) {
    if (value >= 0 && value <= max) return;
    checker->Say(name, "OUT_OF_RANGE", absl::StrCat(name, " is ", value),
                 absl::StrCat("0 to ", max), "write a count in that range");
  };
  count("maxTrialCount", spec.max_trial_count(), kTrialsMax);
  count("parallelTrialCount", spec.parallel_trial_count(), kTrialsMax);
  count("maxFailedTrialCount", spec.max_failed_trial_count(), kTrialsMax);
  const int64_t trials = spec.max_trial_count();
  if (trials <= 0) return;
  if (spec.parallel_trial_count() > trials) {
    checker->Say("parallelTrialCount", "CONFLICT",
                 absl::StrCat(spec.parallel_trial_count(), " trials in parallel, but only ", trials,
                              " in all"),
                 absl::StrCat("at most maxTrialCount, ", trials),
                 absl::StrCat("write ", trials, " or less, or raise maxTrialCount"));
  }
  if (spec.study_spec().algorithm() != v1::StudySpec::GRID) return;
  const int64_t points = GridPoints(spec.study_spec());
  if (points <= trials || points == std::numeric_limits<int64_t>::max()) return;
  checker->Say("studySpec.algorithm", "GRID_TOO_LARGE",
               absl::StrCat("the grid has ", points, " points, but only ", trials, " trials"),
               absl::StrCat("at most ", trials, " points"),
               absl::StrCat("raise maxTrialCount to ", points, ", or remove values"));
}

void CheckElastic(const v1::JobSpec& spec, Checker* checker) {
  int64_t replicas = 0;
  for (const v1::WorkerPool& pool : spec.worker_pools()) {
    if (pool.role() != "evaluator") replicas += pool.replica_count();
  }
  const int64_t fewest = spec.launch().min_replicas();
  if (replicas <= 0 || (fewest >= 0 && fewest <= replicas)) return;
  checker->Say("launch.minReplicas", "OUT_OF_RANGE",
               absl::StrCat("minReplicas is ", fewest, ", the job has ", replicas, " replicas"),
               absl::StrCat("1 to ", replicas), "write less, or ask for more replicas");
}

void CheckValues(const v1::JobSpec& spec, Checker* checker) {
  CheckLabels(spec, checker);
  CheckProgram(spec.program(), checker);
  CheckPools(spec, checker);
  CheckScheduling(spec, checker);
  CheckPlace("jobDir", spec.job_dir(), checker);
  CheckPlace("baseOutputDirectory", spec.base_output_directory(), checker);
  CheckRegex(spec, checker);
  if (spec.launch().processes_per_replica() < 0 ||
      spec.launch().processes_per_replica() > kProcessesMax) {
    checker->Say("launch.processesPerReplica", "OUT_OF_RANGE",
                 absl::StrCat("processesPerReplica is ", spec.launch().processes_per_replica()),
                 absl::StrCat("1 to ", kProcessesMax), "write a count in that range");
  }
  CheckElastic(spec, checker);
  if (spec.has_study_spec()) CheckStudy(spec.study_spec(), "studySpec", checker);
  CheckTrialCounts(spec, checker);
}

void CheckComplete(const v1::JobSpec& spec, Checker* checker) {
  if (spec.program().command().empty() && spec.program().python_module().empty()) {
    checker->Say("program", "MISSING_FIELD", "the job has no program to run",
                 "a Python module or a command",
                 "add pythonPackageSpec with pythonModule, or trainyard: {command: [program, "
                 "argument]}");
  }
  if (spec.worker_pools().empty() || spec.worker_pools(0).replica_count() < 1) {
    checker->Say("workerPools", "MISSING_FIELD", "the job has no replica",
                 "a scale tier or worker pools", "add scaleTier: BASIC");
  }
  for (int i = 1; i < spec.worker_pools_size(); ++i) {
    if (spec.worker_pools(i).replica_count() >= 1) continue;
    checker->Say(Under(At("", "workerPools", i), "replicaCount"), "OUT_OF_RANGE",
                 "the pool has no replica", "at least 1", "leave the pool out");
  }
  if (spec.has_study_spec() && spec.max_trial_count() < 1) {
    checker->Say("maxTrialCount", "MISSING_FIELD", "the tuning job does not say how many trials",
                 "maxTrialCount of at least 1", "add maxTrialCount: 20, or --max-trial-count 20");
  }
}

absl::Status CheckJobSpec(const v1::JobSpec& spec) {
  v1::Faults faults;
  Checker checker(&faults);
  if (spec.ByteSizeLong() > kSpecBytesMax) {
    checker.Say("", "SPEC_TOO_LARGE", absl::StrCat("the spec has ", spec.ByteSizeLong(), " bytes"),
                absl::StrCat("at most ", kSpecBytesMax), "put data into packages or files");
    return MakeError(absl::StatusCode::kInvalidArgument, faults);
  }
  CheckValues(spec, &checker);
  CheckComplete(spec, &checker);
  return MakeError(absl::StatusCode::kInvalidArgument, faults);
}

absl::Status CheckStudySpec(const v1::StudySpec& spec) {
  v1::Faults faults;
  Checker checker(&faults);
  CheckStudy(spec, "", &checker);
  return MakeError(absl::StatusCode::kInvalidArgument, faults);
}

}  // namespace trainyard::spec
