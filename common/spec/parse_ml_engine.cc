// TrainingInput and HyperparameterSpec in ML Engine's shape. See parse.h.
#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/spec/accelerators.h"
#include "common/spec/limits.h"
#include "common/spec/parse.h"
#include "common/spec/search_space.h"
#include "common/spec/text.h"

namespace trainyard::spec {
namespace {

using Study = v1::StudySpec;
using Parameter = v1::StudySpec::Parameter;

enum class Domain { kUnset, kDouble, kInteger, kCategorical, kDiscrete };

// {imageUri, acceleratorConfig, containerCommand, containerArgs, ...}
void ReadReplicaConfig(Fields* config, bool is_master, bool command_elsewhere,
                       v1::Resources* resources, v1::Program* program) {
  std::string image;
  config->Text("imageUri", &image);
  v1::Program container;
  config->Texts("containerCommand", container.mutable_command());
  config->Texts("containerArgs", container.mutable_args());
  if (!command_elsewhere && !image.empty() && image != "local") {
    config->Say("imageUri", "NOT_SUPPORTED",
                absl::StrCat("pulling the image \"", Shorten(image), "\" is not supported"),
                "imageUri: local, which runs containerCommand on the node itself",
                "write imageUri: local and containerCommand: [program], or use pythonModule");
  }
  if (is_master && !command_elsewhere) program->MergeFrom(container);
  if (is_master && command_elsewhere) program->mutable_args()->MergeFrom(container.args());
  if (std::optional<Fields> accelerator = config->Map("acceleratorConfig")) {
    ReadAccelerator(&*accelerator, "type", "count", resources);
    accelerator->Finish();
  }
  config->Ignore({"diskConfig"}, "a program's folder lies on the node's own disk");
  config->Ignore({"tpuTfVersion"}, "there are no TPUs");
  config->Finish();
}

struct Role {
  absl::string_view type;
  absl::string_view count;
  absl::string_view config;
};

// Machine type, count and config of master or workers.
void ReadRole(Fields* fields, const Role& role, bool is_master, JobDraft* draft,
              v1::WorkerPool* pool) {
  fields->Text(role.type, pool->mutable_machine_type());
  if (GpusOfMachine(pool->machine_type()) < 0) {
    fields->Say(role.type, "NOT_SUPPORTED", "TPUs are not supported",
                "a machine with GPUs or without", "name another machine type");
  }
  int32_t count = is_master ? 1 : 0;
  if (!is_master) fields->Integer(role.count, 0, kRanksMax, &count);
  pool->set_replica_count(count);
  if (std::optional<Fields> config = fields->Map(role.config)) {
    ReadReplicaConfig(&*config, is_master, draft->command_elsewhere, pool->mutable_resources(),
                      draft->spec.mutable_program());
  }
}

void NoteParameterServers(Fields* fields) {
  int32_t count = 0;
  fields->Integer("parameterServerCount", 0, kRanksMax, &count);
  std::string type;
  fields->Text("parameterServerType", &type);
  fields->Value("parameterServerConfig");
  for (absl::string_view name :
       {"parameterServerCount", "parameterServerType", "parameterServerConfig"}) {
    if (!fields->Has(name)) continue;
    fields->Note(name, "IGNORED_FIELD",
                 "parameter servers are not started: ranks reduce gradients among themselves");
    return;
  }
}

void RefuseEvaluators(Fields* fields) {
  int32_t count = 0;
  fields->Integer("evaluatorCount", 0, kRanksMax, &count);
  std::string type;
  fields->Text("evaluatorType", &type);
  fields->Value("evaluatorConfig");
  if (count == 0) return;
  fields->Say("evaluatorCount", "NOT_SUPPORTED", "evaluators are not supported",
              "a master and workers", "leave evaluatorCount out and evaluate in the master");
}

void ReadPools(Fields* fields, JobDraft* draft) {
  std::string tier;
  if (fields->Text("scaleTier", &tier)) draft->spec.set_scale_tier(EnumOf(tier));
  fields->Bind("scaleTier", "scaleTier");
  v1::WorkerPool master;
  v1::WorkerPool worker;
  ReadRole(fields, {"masterType", "", "masterConfig"}, true, draft, &master);
  ReadRole(fields, {"workerType", "workerCount", "workerConfig"}, false, draft, &worker);
  NoteParameterServers(fields);
  RefuseEvaluators(fields);
  fields->Ignore({"useChiefInTfConfig"}, "TF_CONFIG names the first replica chief");
  const bool custom = draft->spec.scale_tier() == "CUSTOM";
  if (!custom && worker.replica_count() > 0) {
    fields->Say("workerCount", "CONFLICT",
                absl::StrCat("workerCount counts only with scaleTier: CUSTOM, not with ",
                             tier.empty() ? "BASIC" : Shorten(tier)),
                "scaleTier: CUSTOM", "write scaleTier: CUSTOM, or remove workerCount");
  }
  if (!custom) {
    if (fields->Has("masterType")) {
      fields->Note("masterType", "IGNORED_FIELD",
                   "masterType has no effect: it counts only with scaleTier: CUSTOM");
    }
    if (master.has_resources()) draft->resources.MergeFrom(master.resources());
    return;
  }
  master.set_role("master");
  *draft->spec.add_worker_pools() = master;
  fields->Bind("masterConfig", "workerPools[0].resources");
  fields->BindSelf("workerPools[0]");
  if (worker.replica_count() == 0) return;
  worker.set_role("worker");
  *draft->spec.add_worker_pools() = worker;
  fields->Bind("workerConfig", "workerPools[1].resources");
  fields->Bind("workerCount", "workerPools[1].replicaCount");
}

void ReadScheduling(Fields* fields, v1::Scheduling* scheduling) {
  fields->Value("maxRunningTime");
  fields->Value("maxWaitTime");
  if (fields->Has("maxRunningTime")) {
    fields->Duration("maxRunningTime", scheduling->mutable_timeout());
  }
  if (fields->Has("maxWaitTime")) fields->Duration("maxWaitTime", scheduling->mutable_max_wait());
  int32_t priority = 0;
  if (fields->Integer("priority", 0, 1000, &priority)) scheduling->set_priority(priority);
  fields->Ignore({"resilientToWorkerRestart"}, "a gang always restarts as a whole");
  static const Choices* const strategies =
      new Choices{{"STRATEGY_UNSPECIFIED", 0}, {"ON_DEMAND", 1}, {"LOW_COST", 2}};
  int strategy = 0;
  if (fields->Enum("strategy", *strategies, &strategy) && strategy == 2) {
    scheduling->set_preemptible(true);
  }
  fields->Finish();
}

bool IsWholeNumber(double value) { return value == std::floor(value) && std::abs(value) < 9e15; }

void ReadIntegerBounds(Fields* fields, Study::IntegerRange* range) {
  for (absl::string_view name : {"minValue", "maxValue"}) {
    double value = 0;
    if (!fields->Number(name, &value)) continue;
    if (!IsWholeNumber(value)) {
      fields->Say(name, "WRONG_TYPE", absl::StrCat("an INTEGER parameter has the bound ", value),
                  "a whole number",
                  absl::StrCat("write ", std::llround(value), ", or type: DOUBLE"));
    } else if (name == "minValue") {
      range->set_min(static_cast<int64_t>(value));
    } else {
      range->set_max(static_cast<int64_t>(value));
    }
  }
}

// Keys that belong to another type than the parameter has.
void RefuseKeys(Fields* fields, std::initializer_list<absl::string_view> names,
                absl::string_view type) {
  for (absl::string_view name : names) {
    const NodePtr value = fields->Value(name);
    if (value == nullptr || (value->kind == Node::Kind::kList && value->items.empty())) continue;
    fields->Say(name, "CONFLICT", absl::StrCat(name, " does not go with type: ", type),
                "the keys of the type", absl::StrCat("remove ", name, " or change the type"));
  }
}

void NeedKeys(Fields* fields, std::initializer_list<absl::string_view> names,
              absl::string_view type) {
  for (absl::string_view name : names) {
    if (fields->Has(name)) continue;
    fields->Say("", "MISSING_FIELD", absl::StrCat("a parameter of type ", type, " has no ", name),
                std::string(name), absl::StrCat("add ", name));
  }
}

void ReadDomain(Fields* fields, Domain domain, const std::string& path, Parameter* parameter) {
  switch (domain) {
    case Domain::kDouble: {
      NeedKeys(fields, {"minValue", "maxValue"}, "DOUBLE");
      Study::DoubleRange* range = parameter->mutable_double_range();
      double value = 0;
      if (fields->Number("minValue", &value)) range->set_min(value);
      if (fields->Number("maxValue", &value)) range->set_max(value);
      fields->Bind("minValue", Under(path, "doubleRange"));
      RefuseKeys(fields, {"categoricalValues", "discreteValues"}, "DOUBLE");
      break;
    }
    case Domain::kInteger:
      NeedKeys(fields, {"minValue", "maxValue"}, "INTEGER");
      ReadIntegerBounds(fields, parameter->mutable_integer_range());
      fields->Bind("minValue", Under(path, "integerRange"));
      RefuseKeys(fields, {"categoricalValues", "discreteValues"}, "INTEGER");
      break;
    case Domain::kCategorical:
      parameter->mutable_categories();
      fields->Texts("categoricalValues", parameter->mutable_categories()->mutable_values());
      fields->Bind("categoricalValues", Under(path, "categories"));
      RefuseKeys(fields, {"minValue", "maxValue", "discreteValues"}, "CATEGORICAL");
      break;
    case Domain::kDiscrete: {
      std::vector<double> values;
      fields->Numbers("discreteValues", &values);
      parameter->mutable_numbers()->mutable_values()->Assign(values.begin(), values.end());
      fields->Bind("discreteValues", Under(path, "numbers"));
      RefuseKeys(fields, {"minValue", "maxValue", "categoricalValues"}, "DISCRETE");
      break;
    }
    case Domain::kUnset:
      for (absl::string_view name :
           {"minValue", "maxValue", "categoricalValues", "discreteValues"}) {
        fields->Value(name);
      }
      break;
  }
}

void ReadParameter(Fields* fields, const std::string& path, Parameter* parameter) {
  static const Choices* const types =
      new Choices{{"DOUBLE", static_cast<int>(Domain::kDouble)},
                  {"INTEGER", static_cast<int>(Domain::kInteger)},
                  {"CATEGORICAL", static_cast<int>(Domain::kCategorical)},
                  {"DISCRETE", static_cast<int>(Domain::kDiscrete)}};
  static const Choices* const scales = new Choices{{"NONE", Study::SCALE_UNSPECIFIED},
                                                   {"UNIT_LINEAR_SCALE", Study::LINEAR},
                                                   {"UNIT_LOG_SCALE", Study::LOG},
                                                   {"UNIT_REVERSE_LOG_SCALE", Study::REVERSE_LOG}};
  fields->BindSelf(path);
  fields->Text("parameterName", parameter->mutable_parameter_id());
  fields->Bind("parameterName", Under(path, "parameterId"));
  int type = 0;
  fields->Enum("type", *types, &type);
  if (!fields->Has("type")) {
    fields->Say("", "MISSING_FIELD", "the parameter has no type",
                "type: DOUBLE, INTEGER, CATEGORICAL or DISCRETE", "add type");
  }
  ReadDomain(fields, static_cast<Domain>(type), path, parameter);
  int scale = 0;
  if (fields->Enum("scaleType", *scales, &scale)) {
    parameter->set_scale(static_cast<Study::Scale>(scale));
  }
  fields->Bind("scaleType", Under(path, "scale"));
  fields->Finish();
}

void ReadTrialCounts(Fields* fields, v1::JobSpec* spec) {
  int64_t count = 1;
  fields->Integer("maxTrials", 1, kTrialsMax, &count);
  spec->set_max_trial_count(count);
  count = 1;
  fields->Integer("maxParallelTrials", 1, kTrialsMax, &count);
  spec->set_parallel_trial_count(count);
  count = 0;
  if (fields->Integer("maxFailedTrials", 0, kTrialsMax, &count)) {
    spec->set_max_failed_trial_count(count);
  }
  fields->Bind("maxTrials", "maxTrialCount");
  fields->Bind("maxParallelTrials", "parallelTrialCount");
  fields->Bind("maxFailedTrials", "maxFailedTrialCount");
}

}  // namespace

void ReadHyperparameters(Fields* fields, JobDraft* draft) {
  Study* study = draft->spec.mutable_study_spec();
  fields->BindSelf("studySpec");
  Study::Metric* metric = study->add_metrics();
  metric->set_goal(Study::MAXIMIZE);
  metric->set_metric_id("training/hptuning/metric");
  fields->Text("hyperparameterMetricTag", metric->mutable_metric_id());
  fields->Bind("hyperparameterMetricTag", "studySpec.metrics[0]");
  static const Choices* const goals = new Choices{{"GOAL_TYPE_UNSPECIFIED", Study::MAXIMIZE},
                                                  {"MAXIMIZE", Study::MAXIMIZE},
                                                  {"MINIMIZE", Study::MINIMIZE}};
  int goal = 0;
  if (fields->Enum("goal", *goals, &goal)) metric->set_goal(static_cast<Study::Goal>(goal));
  ReadTrialCounts(fields, &draft->spec);
  fields->Bind("params", "studySpec.parameters");
  for (Fields& parameter : fields->Maps("params")) {
    const std::string path = At("studySpec", "parameters", study->parameters_size());
    ReadParameter(&parameter, path, study->add_parameters());
  }
  bool early = false;
  if (fields->Boolean("enableTrialEarlyStopping", &early) && early) {
    study->mutable_stopping()->set_kind(Study::MEDIAN);
  }
  static const Choices* const algorithms = new Choices{{"ALGORITHM_UNSPECIFIED", 0},
                                                       {"GRID_SEARCH", Study::GRID},
                                                       {"RANDOM_SEARCH", Study::RANDOM},
                                                       {"POPULATION_BASED_TRAINING", Study::PBT}};
  int algorithm = 0;
  if (fields->Enum("algorithm", *algorithms, &algorithm)) {
    study->set_algorithm(static_cast<Study::Algorithm>(algorithm));
  }
  fields->Bind("algorithm", "studySpec.algorithm");
  std::string previous;
  if (fields->Text("resumePreviousJobId", &previous) && !previous.empty()) {
    study->add_transfer_from(previous);
  }
  fields->Finish();
}

void ReadTrainingInput(Fields* fields, JobDraft* draft) {
  v1::JobSpec* spec = &draft->spec;
  fields->BindSelf("program");
  ReadPools(fields, draft);
  google::protobuf::RepeatedPtrField<std::string> uris;
  fields->Texts("packageUris", &uris);
  fields->Bind("packageUris", "program.packages");
  for (const std::string& uri : uris) {
    AddPackage(fields, "packageUris", uri, spec->mutable_program());
  }
  fields->Text("pythonModule", spec->mutable_program()->mutable_python_module());
  fields->Bind("pythonModule", "program.pythonModule");
  if (draft->command_elsewhere) spec->mutable_program()->clear_python_module();
  fields->Texts("args", spec->mutable_program()->mutable_args());
  if (std::optional<Fields> study = fields->Map("hyperparameters")) {
    ReadHyperparameters(&*study, draft);
  }
  fields->Text("region", spec->mutable_region());
  fields->Text("runtimeVersion", spec->mutable_runtime_version());
  fields->Text("pythonVersion", spec->mutable_python_version());
  fields->Text("jobDir", spec->mutable_job_dir());
  fields->Bind("jobDir", "jobDir");
  if (std::optional<Fields> scheduling = fields->Map("scheduling")) {
    scheduling->Bind("maxRunningTime", "scheduling.timeout");
    scheduling->Bind("maxWaitTime", "scheduling.maxWait");
    ReadScheduling(&*scheduling, spec->mutable_scheduling());
  }
  if (fields->Text("serviceAccount", spec->mutable_service_account())) {
    fields->Note("serviceAccount", "IGNORED_FIELD",
                 "serviceAccount has no effect here: jobs run as the project's own user");
  }
  fields->Ignore({"network"}, "jobs use the nodes' own network");
  fields->Ignore({"encryptionConfig"}, "the store is on the team's own disks");
  fields->Ignore({"enableWebAccess"}, "this version has no such service");
}

}  // namespace trainyard::spec
