// CustomJobSpec and its parts in Vertex's shape. See parse.h.
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/spec/accelerators.h"
#include "common/spec/limits.h"
#include "common/spec/parse.h"
#include "common/spec/search_space.h"
#include "common/spec/text.h"

namespace trainyard::spec {
namespace {

constexpr int kReductionPool = 2;
constexpr int kEvaluatorPool = 3;

void ReadMachine(Fields* machine, v1::WorkerPool* pool) {
  machine->Text("machineType", pool->mutable_machine_type());
  if (GpusOfMachine(pool->machine_type()) < 0) {
    machine->Say("machineType", "NOT_SUPPORTED", "TPUs are not supported",
                 "a machine with GPUs or "
                 "without",
                 "name another machineType");
  }
  ReadAccelerator(machine, "acceleratorType", "acceleratorCount", pool->mutable_resources());
  machine->Refuse("tpuTopology", "tpuTopology", "remove it");
  machine->Refuse("gpuPartitionSize", "gpuPartitionSize",
                  "ask for a share with trainyard: {resources: {gpuMilli: 500}}");
  machine->Ignore({"reservationAffinity"}, "a team's own machines need no reservation");
  machine->Finish();
}

// A container whose image is "local" or empty is a plain program.
void ReadContainer(Fields* container, bool command_elsewhere, v1::Program* program) {
  std::string image;
  const bool has_image = container->Text("imageUri", &image);
  const bool local = image.empty() || image == "local";
  container->Texts("command", program->mutable_command());
  container->Texts("args", program->mutable_args());
  container->EnvList("env", program->mutable_env());
  if (command_elsewhere) {
    program->clear_command();
    if (has_image && !local) {
      container->Note("imageUri", "IGNORED_FIELD",
                      "imageUri has no effect: trainyard.command runs");
    }
  } else if (!local) {
    container->Say("imageUri", "NOT_SUPPORTED",
                   absl::StrCat("pulling the image \"", Shorten(image), "\" is not supported"),
                   "imageUri: local, which runs command on the node itself",
                   "write imageUri: local and command: [program], or use pythonPackageSpec");
  } else if (program->command().empty()) {
    container->Say("", "MISSING_FIELD", "the local container has no command", "command: [program]",
                   "add the command; there is no image whose entry point could be run");
  }
  container->Finish();
}

void ReadPythonPackage(Fields* python, bool command_elsewhere, v1::Program* program) {
  python->Ignore({"executorImageUri"}, "the program runs with the node's own Python");
  google::protobuf::RepeatedPtrField<std::string> uris;
  python->Texts("packageUris", &uris);
  for (const std::string& uri : uris) AddPackage(python, "packageUris", uri, program);
  python->Text("pythonModule", program->mutable_python_module());
  python->Bind("pythonModule", "program.pythonModule");
  python->Texts("args", program->mutable_args());
  python->EnvList("env", program->mutable_env());
  if (command_elsewhere) program->clear_python_module();
  python->Finish();
}

void ReadPoolProgram(Fields* pool, bool command_elsewhere, v1::Program* program) {
  std::optional<Fields> container = pool->Map("containerSpec");
  std::optional<Fields> python = pool->Map("pythonPackageSpec");
  if (container.has_value() && python.has_value()) {
    pool->Say("pythonPackageSpec", "CONFLICT",
              "the pool has both a containerSpec and a pythonPackageSpec", "one of the two",
              "keep the one you mean");
  }
  if (container.has_value()) {
    container->BindSelf("program");
    container->Bind("command", "program.command");
    container->Bind("env", "program.env");
    ReadContainer(&*container, command_elsewhere, program);
  }
  if (python.has_value()) {
    python->BindSelf("program");
    python->Bind("env", "program.env");
    python->Bind("packageUris", "program.packages");
    ReadPythonPackage(&*python, command_elsewhere, program);
    if (container.has_value()) program->clear_python_module();
  }
}

void ReadPoolShape(Fields* fields, int index, v1::WorkerPool* pool) {
  pool->set_replica_count(1);
  int32_t count = 0;
  if (fields->Integer("replicaCount", index == 0 ? 1 : 0, kRanksMax, &count)) {
    pool->set_replica_count(count);
  }
  if (std::optional<Fields> machine = fields->Map("machineSpec")) ReadMachine(&*machine, pool);
  fields->Ignore({"diskSpec"}, "a program's folder lies on the node's own disk");
  fields->Refuse("nfsMounts", "mounting file systems",
                 "mount it on the nodes and name the path in args");
  fields->Refuse("lustreMounts", "mounting file systems",
                 "mount it on the nodes and name the path in args");
}

void ReadPool(Fields* fields, int index, JobDraft* draft) {
  if (fields->empty() && index > 0) return;
  v1::WorkerPool pool;
  v1::Program program;
  ReadPoolShape(fields, index, &pool);
  ReadPoolProgram(fields, draft->command_elsewhere, &program);
  fields->Finish();
  if (pool.replica_count() == 0) return;
  if (index == kReductionPool) {
    fields->Note("", "IGNORED_FIELD",
                 "worker pool 2 (parameter or reduction servers) is not started: ranks reduce "
                 "among themselves");
    return;
  }
  if (index >= kEvaluatorPool) {
    fields->Say("", "NOT_SUPPORTED",
                absl::StrCat("worker pool ", index,
                             " (evaluators) is not "
                             "supported"),
                "a primary pool and a worker pool",
                "leave the pool out and evaluate in the primary replica");
    return;
  }
  if (index == 0) {
    *draft->spec.mutable_program() = program;
  } else if (!google::protobuf::util::MessageDifferencer::Equals(program, v1::Program()) &&
             !google::protobuf::util::MessageDifferencer::Equals(program, draft->spec.program())) {
    fields->Say("", "NOT_SUPPORTED", "the pool runs another program than pool 0",
                "the same program, arguments and environment in every pool",
                "branch on RANK in the program, or leave the pool's program out");
  }
  const std::string path = At("", "workerPools", draft->spec.worker_pools_size());
  fields->BindSelf(path);
  fields->Bind("replicaCount", Under(path, "replicaCount"));
  fields->Bind("machineSpec", Under(path, "resources"));
  pool.set_role(index == 0 ? "master" : "worker");
  *draft->spec.add_worker_pools() = pool;
}

void ReadScheduling(Fields* fields, v1::Scheduling* scheduling) {
  if (fields->Has("timeout")) fields->Duration("timeout", scheduling->mutable_timeout());
  if (fields->Has("maxWaitDuration")) {
    fields->Duration("maxWaitDuration", scheduling->mutable_max_wait());
  }
  bool flag = false;
  if (fields->Boolean("disableRetries", &flag) && flag) {
    scheduling->set_max_infrastructure_retries(-1);
  }
  fields->Ignore({"restartJobOnWorkerRestart"}, "a gang always restarts as a whole");
  static const Choices* const strategies = new Choices{
      {"ON_DEMAND", 1}, {"LOW_COST", 2}, {"STANDARD", 3}, {"SPOT", 4}, {"FLEX_START", 6}};
  int strategy = 0;
  if (fields->Enum("strategy", *strategies, &strategy)) {
    if (strategy == 2 || strategy == 4) scheduling->set_preemptible(true);
  }
  for (absl::string_view name : {"timeout", "maxWaitDuration"}) fields->Value(name);
  fields->Finish();
}

}  // namespace

void ReadAccelerator(Fields* fields, absl::string_view type, absl::string_view count,
                     v1::Resources* resources) {
  Choices choices;
  for (size_t i = 0; i < Accelerators().size(); ++i) {
    choices.emplace_back(Accelerators()[i].name, static_cast<int>(i));
  }
  choices.emplace_back("ACCELERATOR_TYPE_UNSPECIFIED", -1);
  int which = -1;
  // Also without the maker's or the family's name; only a name that is none has a fault of Enum.
  const NodePtr written = fields->Has(type) ? fields->Value(type) : nullptr;
  const absl::StatusOr<Accelerator> meant =
      AcceleratorNamed(written == nullptr ? "" : written->text);
  for (size_t i = 0; meant.ok() && i < Accelerators().size(); ++i) {
    if (Accelerators()[i].name == meant->name) which = static_cast<int>(i);
  }
  const bool typed = which >= 0 || (fields->Enum(type, choices, &which) && which >= 0);
  int32_t number = 0;
  const bool counted = fields->Integer(count, 0, kGpusMax, &number);
  if (typed && Accelerators()[which].model.empty()) {
    fields->Say(type, "NOT_SUPPORTED",
                absl::StrCat("the accelerator ", Accelerators()[which].name, " is not supported"),
                "an NVIDIA GPU", "name a GPU, or leave the accelerator out");
    return;
  }
  if (typed) AskFor(Accelerators()[static_cast<size_t>(which)], resources);
  if (typed && !fields->Has(count)) number = 1;
  if (counted || typed) resources->set_gpu_count(number);
  if (number > 0) return;
  resources->clear_gpu_models();
  resources->clear_gpu_memory_bytes();
}

void AddPackage(Fields* fields, absl::string_view field, const std::string& uri,
                v1::Program* program) {
  v1::PackageRef package;
  package.set_uri(uri);
  package.set_file_name(uri.substr(uri.rfind('/') == std::string::npos ? 0 : uri.rfind('/') + 1));
  if (absl::EndsWith(uri, ".whl")) {
    package.set_kind(v1::PackageRef::WHEEL);
  } else if (absl::EndsWith(uri, ".tar.gz") || absl::EndsWith(uri, ".tgz") ||
             absl::EndsWith(uri, ".zip")) {
    package.set_kind(v1::PackageRef::SDIST);
  } else if (uri.empty() || absl::StrContains(package.file_name(), '.')) {
    fields->Say(field, "BAD_VALUE", absl::StrCat("\"", Shorten(uri), "\" is no package"),
                "a folder, or a file that ends in .tar.gz, .zip or .whl",
                "build one with python3 setup.py sdist, or name the package's folder");
    return;
  } else {
    package.set_kind(v1::PackageRef::TREE);
  }
  *program->add_packages() = package;
}

void ReadCustomJobSpec(Fields* fields, JobDraft* draft) {
  std::vector<Fields> pools = fields->Maps("workerPoolSpecs");
  fields->Bind("workerPoolSpecs", "workerPools");
  const NodePtr list = fields->Value("workerPoolSpecs");
  if (list != nullptr && list->kind == Node::Kind::kList && list->items.empty()) {
    fields->Say("workerPoolSpecs", "MISSING_FIELD", "the list of worker pools is empty",
                "at least one pool", "add a pool, or leave the key out for one replica");
  }
  for (size_t i = 0; i < pools.size(); ++i) ReadPool(&pools[i], static_cast<int>(i), draft);
  if (std::optional<Fields> scheduling = fields->Map("scheduling")) {
    scheduling->Bind("timeout", "scheduling.timeout");
    scheduling->Bind("maxWaitDuration", "scheduling.maxWait");
    ReadScheduling(&*scheduling, draft->spec.mutable_scheduling());
  }
  if (fields->Text("serviceAccount", draft->spec.mutable_service_account())) {
    fields->Note("serviceAccount", "IGNORED_FIELD",
                 "serviceAccount has no effect here: jobs run as the project's own user");
  }
  if (std::optional<Fields> output = fields->Map("baseOutputDirectory")) {
    output->Text("outputUriPrefix", draft->spec.mutable_base_output_directory());
    output->Bind("outputUriPrefix", "baseOutputDirectory");
    output->Finish();
  }
  fields->Ignore({"network", "reservedIpRanges", "pscInterfaceConfig"},
                 "jobs use the nodes' own network");
  fields->Ignore(
      {"tensorboard", "experiment", "experimentRun", "models", "protectedArtifactLocationId"},
      "it names a thing of another service");
  fields->Ignore({"enableWebAccess", "enableDashboardAccess", "persistentResourceId"},
                 "this version has no such service");
}

}  // namespace trainyard::spec
