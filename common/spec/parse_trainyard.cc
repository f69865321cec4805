// The section trainyard: what no other product's shape has. See parse.h.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/spec/bytes.h"
#include "common/spec/limits.h"
#include "common/spec/parse.h"
#include "common/spec/text.h"

namespace trainyard::spec {
namespace {

constexpr int64_t kMemoryMin = int64_t{1} << 20;
constexpr int64_t kMemoryMax = int64_t{1} << 50;

// Cores as a number, for example 0.5, into thousandths.
void ReadCores(Fields* fields, v1::Resources* resources) {
  double cores = 0;
  int64_t milli = 0;
  if (fields->Integer("cpuMilli", 1, kCpuMilliMax, &milli)) resources->set_cpu_milli(milli);
  if (!fields->Number("cpu", &cores)) return;
  if (fields->Has("cpuMilli")) {
    fields->Say("cpu", "CONFLICT", "both cpu and cpuMilli are given", "one of the two",
                "remove one of them");
  } else if (!(cores >= 0.001) || cores > static_cast<double>(kCpuMilliMax) / 1000) {
    fields->Say("cpu", "OUT_OF_RANGE", absl::StrCat(cores, " cores are no share of a machine"),
                absl::StrCat("0.001 to ", kCpuMilliMax / 1000), "write the cores of one replica");
  } else {
    resources->set_cpu_milli(std::llround(cores * 1000));
  }
}

bool ReadMemory(Fields* fields, const std::string& key, int64_t* to) {
  std::string text;
  if (!fields->Text(key, &text)) return false;
  const std::optional<int64_t> bytes = ParseBytes(text);
  if (bytes.has_value() && *bytes > 0 && *bytes < kMemoryMin) {
    fields->Say(key, "OUT_OF_RANGE",
                absl::StrCat(Shorten(text), " is less than 1 MiB; without a unit it counts bytes"),
                "a number with a unit: 512MiB, 4GiB", "write for example 512MiB");
    return false;
  }
  if (!bytes.has_value() || *bytes < 1 || *bytes > kMemoryMax) {
    fields->Say(key, "BAD_VALUE", absl::StrCat("\"", Shorten(text), "\" is no amount of memory"),
                "a number with a unit: 512MiB, 4GiB", "write for example 512MiB");
    return false;
  }
  *to = *bytes;
  return true;
}

void ReadResources(Fields* fields, v1::Resources* resources) {
  for (const char* share : {"gpuMilli", "gpuProfile"})
    fields->Bind(share, "workerPools[0].resources");
  ReadCores(fields, resources);
  int64_t bytes = 0;
  if (ReadMemory(fields, "memory", &bytes)) resources->set_memory_bytes(bytes);
  if (ReadMemory(fields, "gpuMemory", &bytes)) resources->set_gpu_memory_bytes(bytes);
  int32_t count = 0;
  if (fields->Integer("gpus", 0, kGpusMax, &count)) resources->set_gpu_count(count);
  fields->Texts("gpuModels", resources->mutable_gpu_models());
  if (fields->Integer("gpuMilli", 1, 999, &count)) resources->set_gpu_milli(count);
  fields->Text("gpuProfile", resources->mutable_gpu_profile());
  fields->Finish();
}

void ReadLaunch(Fields* fields, v1::Launch* launch) {
  static const Choices* const launchers =
      new Choices{{"DIRECT", v1::DIRECT}, {"MPIRUN", v1::MPIRUN}};
  static const Choices* const placements = new Choices{{"PACK", v1::PACK}, {"SPREAD", v1::SPREAD}};
  int choice = 0;
  if (fields->Enum("launcher", *launchers, &choice)) {
    launch->set_launcher(static_cast<v1::Launcher>(choice));
  }
  if (fields->Enum("placement", *placements, &choice)) {
    launch->set_placement(static_cast<v1::PlacementPreference>(choice));
  }
  int32_t count = 0;
  if (fields->Integer("processesPerReplica", 1, kProcessesMax, &count)) {
    launch->set_processes_per_replica(count);
  }
  if (fields->Integer("minReplicas", 1, kRanksMax, &count)) launch->set_min_replicas(count);
}

void ReadTimes(Fields* fields, v1::Scheduling* scheduling) {
  google::protobuf::Duration span;
  if (fields->Duration("timeout", &span)) *scheduling->mutable_timeout() = span;
  span.Clear();
  if (fields->Duration("maxWait", &span)) *scheduling->mutable_max_wait() = span;
  span.Clear();
  if (fields->Duration("grace", &span)) *scheduling->mutable_grace() = span;
  span.Clear();
  if (fields->Duration("stagingTimeout", &span)) *scheduling->mutable_staging_timeout() = span;
  span.Clear();
  if (fields->Duration("publishTimeout", &span)) *scheduling->mutable_publish_timeout() = span;
  span.Clear();
  if (fields->Duration("stopAfter", &span)) *scheduling->mutable_stop_after() = span;
}

// after: [first, second] and after: [{job: first, on: END}].
void ReadDependencies(Fields* fields, v1::Scheduling* scheduling) {
  static const Choices* const conditions =
      new Choices{{"SUCCESS", v1::Dependency::SUCCESS}, {"END", v1::Dependency::END}};
  const NodePtr value = fields->Value("after");
  if (value == nullptr) return;
  const bool has_maps =
      std::any_of(value->items.begin(), value->items.end(),
                  [](const NodePtr& item) { return item->kind == Node::Kind::kMap; });
  if (!has_maps && value->kind != Node::Kind::kMap) {
    google::protobuf::RepeatedPtrField<std::string> jobs;
    fields->Texts("after", &jobs);
    for (const std::string& job : jobs) scheduling->add_after()->set_job(job);
    return;
  }
  for (Fields& map : fields->Maps("after")) {
    v1::Dependency* const dependency = scheduling->add_after();
    map.Text("job", dependency->mutable_job());
    int choice = 0;
    if (map.Enum("on", *conditions, &choice)) {
      dependency->set_on(static_cast<v1::Dependency::Condition>(choice));
    }
    if (dependency->job().empty()) {
      map.Say("job", "MISSING_FIELD", "no job is named", "the id of a job of the same project",
              "write job: JOB");
    }
    map.Finish();
  }
}

// topology: {domain: RACK, atMost: 1, required: true}
void ReadTopology(Fields* fields, v1::Scheduling* scheduling) {
  static const Choices* const domains = new Choices{
      {"NODE", v1::Topology::NODE}, {"ISLAND", v1::Topology::ISLAND}, {"RACK", v1::Topology::RACK}};
  std::optional<Fields> map = fields->Map("topology");
  if (!map.has_value()) return;
  v1::Topology* const topology = scheduling->mutable_topology();
  int32_t number = 0;
  if (map->Enum("domain", *domains, &number)) {
    topology->set_domain(static_cast<v1::Topology::Domain>(number));
  } else if (!map->Has("domain")) {
    map->Say("domain", "MISSING_FIELD", "the topology names no domain", "NODE, ISLAND or RACK",
             "write domain: RACK");
  }
  if (map->Integer("atMost", 1, kRanksMax, &number)) topology->set_at_most(number);
  bool flag = false;
  if (map->Boolean("required", &flag)) topology->set_required(flag);
  map->Finish();
}

void ReadScheduling(Fields* fields, v1::Scheduling* scheduling) {
  ReadTimes(fields, scheduling);
  for (const char* name : {"priority", "queue", "after", "topology", "nodeSelector", "tolerations",
                           "maxWait", "timeout", "preemptible", "hold"}) {
    fields->Bind(name, absl::StrCat("scheduling.", name));
  }
  int32_t count = 0;
  if (fields->Integer("retries", 0, kRetriesMax, &count)) scheduling->set_max_retries(count);
  if (fields->Integer("infrastructureRetries", 0, kRetriesMax, &count)) {
    scheduling->set_max_infrastructure_retries(count == 0 ? -1 : count);
  }
  if (fields->Integer("priority", 0, 1000, &count)) scheduling->set_priority(count);
  std::string queue;
  if (fields->Text("queue", &queue)) scheduling->set_queue(queue);
  bool flag = false;
  if (fields->Boolean("preemptible", &flag)) scheduling->set_preemptible(flag);
  if (fields->Boolean("hold", &flag)) scheduling->set_hold(flag);
  ReadDependencies(fields, scheduling);
  ReadTopology(fields, scheduling);
  fields->TextMap("nodeSelector", scheduling->mutable_node_selector());
  fields->Texts("tolerations", scheduling->mutable_tolerations());
  if (fields->Boolean("strictLease", &flag)) scheduling->set_strict_lease(flag);
}

void ReadProgram(Fields* fields, v1::Program* program) {
  google::protobuf::RepeatedPtrField<std::string> texts;
  if (fields->Texts("command", &texts)) {
    *program->mutable_command() = texts;
    if (texts.empty() || texts[0].empty()) {
      fields->Say("command", "BAD_VALUE", "the command is empty", "a program and its arguments",
                  "write command: [program, argument]");
    }
  }
  fields->Bind("command", "program.command");
  fields->TextMap("env", program->mutable_env());
  fields->Bind("env", "program.env");
  texts.Clear();
  fields->Texts("packages", &texts);
  fields->Bind("packages", "program.packages");
  for (const std::string& uri : texts) AddPackage(fields, "packages", uri, program);
  fields->Text("packagePath", program->mutable_package_path());
  fields->Text("interpreter", program->mutable_interpreter());
}

// "0.1" and "0.10.2" by their numbers; false for something else.
bool ReadVersion(absl::string_view text, std::vector<int>* numbers) {
  for (absl::string_view part : absl::StrSplit(text, '.')) {
    int number = 0;
    if (!absl::SimpleAtoi(part, &number) || number < 0) return false;
    numbers->push_back(number);
  }
  return true;
}

void CheckVersion(Fields* fields) {
  std::string text;
  if (!fields->Text("minVersion", &text)) return;
  std::vector<int> wanted;
  std::vector<int> ours;
  ReadVersion(TRAINYARD_VERSION, &ours);
  if (!ReadVersion(text, &wanted)) {
    fields->Say("minVersion", "BAD_VALUE", absl::StrCat("\"", Shorten(text), "\" is no version"),
                "numbers with dots", absl::StrCat("write \"", TRAINYARD_VERSION, "\""));
  } else if (wanted > ours) {
    fields->Say(
        "minVersion", "VERSION_MISMATCH",
        absl::StrCat("the spec needs Trainyard ", Shorten(text), ", this is ", TRAINYARD_VERSION),
        absl::StrCat("at most ", TRAINYARD_VERSION),
        "install a newer Trainyard, or lower minVersion");
  }
}

void RefuseLaterThings(Fields* fields) {
  fields->Refuse("image", "running in an image", "use command, which runs on the node itself");
  fields->Refuse("schedule", "starting by a cron schedule",
                 "submit from cron or a systemd timer of your own");
  fields->Refuse("cron", "starting by a cron schedule",
                 "submit from cron or a systemd timer of your own");
  fields->Refuse("quota", "a quota in a spec", "an administrator sets the project's quota");
  fields->Refuse("team", "a team's quota in a spec", "name the project with --project");
  fields->Refuse("mounts", "mounting file systems", "mount it on the nodes and use its path");
  fields->Refuse("maxCost", "a limit on cost", "limit the time with timeout");
  fields->Misplaced("dependsOn", "waiting for other jobs is written as after",
                    "write after: [JOB], or after: [{job: JOB, on: END}]");
  constexpr absl::string_view kAddress = "the scheduler's address does not belong in a spec";
  for (absl::string_view name : {"endpoint", "scheduler", "address"}) {
    fields->Misplaced(name, kAddress, "set TRAINYARD_ENDPOINT, or use --endpoint HOST:PORT");
  }
  constexpr absl::string_view kSecret = "a secret does not belong in a spec";
  for (absl::string_view name : {"token", "password", "secret"}) {
    fields->Misplaced(name, kSecret, "remove it from the file; the client reads its token itself");
  }
}

bool HasStudyKey(const Fields& fields) {
  for (absl::string_view name : {"seed", "duplicates", "repeats", "algorithm", "stopping",
                                 "initialTrials", "transferFrom", "stopBelowRegret", "ordinal"}) {
    if (fields.Has(name)) return true;
  }
  return false;
}

}  // namespace

void ReadTrainyard(Fields* fields, JobDraft* draft) {
  v1::JobSpec* spec = &draft->spec;
  fields->Bind("processesPerReplica", "launch.processesPerReplica");
  fields->Bind("minReplicas", "launch.minReplicas");
  fields->Bind("metricRegex", "metrics.regex");
  ReadProgram(fields, spec->mutable_program());
  v1::Launch launch = spec->launch();
  ReadLaunch(fields, &launch);
  if (launch.ByteSizeLong() > 0) *spec->mutable_launch() = launch;
  if (std::optional<Fields> resources = fields->Map("resources")) {
    ReadResources(&*resources, &draft->resources);
  }
  v1::Scheduling scheduling = spec->scheduling();
  ReadScheduling(fields, &scheduling);
  if (scheduling.ByteSizeLong() > 0) *spec->mutable_scheduling() = scheduling;
  std::string regex;
  if (fields->Text("metricRegex", &regex)) spec->mutable_metrics()->set_regex(regex);
  v1::StudySpec study = spec->study_spec();
  const bool study_keys = HasStudyKey(*fields);
  ReadStudyAdditions(fields, "studySpec", &study);
  if (spec->has_study_spec()) {
    *spec->mutable_study_spec() = study;
  } else if (study_keys) {
    fields->Say("", "CONFLICT", "the section has keys about a study, but the job has none",
                "studySpec or hyperparameters beside it", "add a study, or remove those keys");
  }
  CheckVersion(fields);
  RefuseLaterThings(fields);
  fields->Finish();
}

}  // namespace trainyard::spec
