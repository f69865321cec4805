// See resolve.h.
#include "common/spec/resolve.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "common/spec/accelerators.h"
#include "common/spec/check.h"
#include "common/spec/text.h"

namespace trainyard::spec {
namespace {

// What a replica gets when nobody says more: little, so that a laptop runs every tier.
constexpr int64_t kCpuMilliDefault = 1000;
constexpr int64_t kMemoryDefault = 256LL << 20;

constexpr int64_t kTimeoutSeconds = 7 * 86400;
constexpr int64_t kGraceSeconds = 10;
constexpr int64_t kStagingSeconds = 600;
constexpr int64_t kPublishSeconds = 600;
constexpr int64_t kStopAfterSeconds = 900;
constexpr int32_t kInfrastructureRetries = 5;

v1::WorkerPool Pool(absl::string_view role, int32_t replicas, int32_t gpus) {
  v1::WorkerPool pool;
  pool.set_role(std::string(role));
  pool.set_replica_count(replicas);
  pool.mutable_resources()->set_cpu_milli(kCpuMilliDefault);
  pool.mutable_resources()->set_memory_bytes(kMemoryDefault);
  pool.mutable_resources()->set_gpu_count(gpus);
  return pool;
}

v1::ScaleTier Tier(absl::string_view name, int32_t workers, int32_t gpus, int parameter_servers) {
  v1::ScaleTier tier;
  tier.set_name(std::string(name));
  *tier.add_worker_pools() = Pool("master", 1, gpus);
  if (workers > 0) *tier.add_worker_pools() = Pool("worker", workers, gpus);
  if (parameter_servers > 0) {
    tier.set_note(absl::StrCat("the ", parameter_servers, " parameter servers of ", name,
                               " are not started: ranks reduce gradients among themselves"));
  }
  return tier;
}

void SayNote(absl::string_view path, absl::string_view message, v1::JobSpec* spec,
             v1::Faults* faults) {
  const size_t before = static_cast<size_t>(spec->notes_size());
  AddNote(message, spec);
  if (static_cast<size_t>(spec->notes_size()) == before) return;
  v1::Fault* fault = faults->add_faults();
  fault->set_reason("IGNORED_FIELD");
  fault->set_field(std::string(path));
  fault->set_message(std::string(message));
  fault->set_is_note(true);
}

void SayUnknownTier(const TierTable& tiers, absl::string_view name, v1::Faults* faults) {
  std::vector<std::string> names;
  for (const v1::ScaleTier& tier : tiers) names.push_back(tier.name());
  Checker checker(faults);
  const std::string expected = absl::StrCat("one of ", absl::StrJoin(names, ", "));
  if (name == "BASIC_TPU") {
    checker.Say("scaleTier", "NOT_SUPPORTED", "the tier BASIC_TPU is not supported", expected,
                "use BASIC_GPU or CUSTOM");
    return;
  }
  const std::string nearest = NearestName(name, names);
  checker.Say("scaleTier", "BAD_ENUM",
              absl::StrCat("\"", Shorten(name), "\" is no choice of scaleTier"), expected,
              nearest.empty() ? absl::StrCat("use ", expected)
                              : absl::StrCat("did you mean ", nearest, "?"));
}

// Pools of the tier when the spec has none of its own.
void ApplyTier(const TierTable& tiers, v1::JobSpec* spec, v1::Faults* faults) {
  const bool is_template =
      !spec->worker_pools().empty() && spec->worker_pools(0).replica_count() == 0;
  const bool own_pools = !spec->worker_pools().empty() && !is_template;
  if (spec->scale_tier().empty()) spec->set_scale_tier(own_pools ? "CUSTOM" : "BASIC");
  spec->set_scale_tier(EnumOf(spec->scale_tier()));
  const auto tier = std::find_if(
      tiers.begin(), tiers.end(),
      [spec](const v1::ScaleTier& candidate) { return candidate.name() == spec->scale_tier(); });
  if (tier == tiers.end()) {
    SayUnknownTier(tiers, spec->scale_tier(), faults);
    // One replica stands in, so that the unknown tier is the only fault.
    if (!own_pools) {
      spec->clear_worker_pools();
      *spec->add_worker_pools() = Pool("master", 1, 0);
    }
    return;
  }
  if (!tier->note().empty() && !own_pools) SayNote("scaleTier", tier->note(), spec, faults);
  if (own_pools) return;
  const v1::Resources over = is_template ? spec->worker_pools(0).resources() : v1::Resources();
  *spec->mutable_worker_pools() = tier->worker_pools();
  if (spec->worker_pools().empty()) *spec->add_worker_pools() = Pool("master", 1, 0);
  for (v1::WorkerPool& pool : *spec->mutable_worker_pools()) {
    Overlay(over, pool.mutable_resources());
  }
}

// The primary pool has one replica; what it has more are workers.
void SplitPrimary(v1::JobSpec* spec) {
  if (spec->worker_pools().empty() || spec->worker_pools(0).replica_count() <= 1) return;
  const v1::WorkerPool primary = spec->worker_pools(0);
  google::protobuf::RepeatedPtrField<v1::WorkerPool> pools;
  *pools.Add() = primary;
  pools.Mutable(0)->set_replica_count(1);
  *pools.Add() = primary;
  pools.Mutable(1)->set_role("worker");
  pools.Mutable(1)->set_replica_count(primary.replica_count() - 1);
  for (int i = 1; i < spec->worker_pools_size(); ++i) *pools.Add() = spec->worker_pools(i);
  *spec->mutable_worker_pools() = pools;
}

// "1 core, 256 MiB, 2 GPUs"
std::string ResourceText(const v1::Resources& resources) {
  const double cores = static_cast<double>(resources.cpu_milli()) / 1000;
  std::string text = absl::StrCat(cores, cores == 1 ? " core, " : " cores, ",
                                  resources.memory_bytes() >> 20, " MiB");
  const int gpus = resources.gpu_count();
  if (gpus > 0) absl::StrAppend(&text, ", ", gpus, gpus == 1 ? " GPU" : " GPUs");
  return text;
}

void FillPools(v1::JobSpec* spec, v1::Faults* faults) {
  for (int i = 0; i < spec->worker_pools_size(); ++i) {
    v1::WorkerPool* pool = spec->mutable_worker_pools(i);
    if (pool->role().empty()) pool->set_role(i == 0 ? "master" : "worker");
    v1::Resources* resources = pool->mutable_resources();
    const int gpus = GpusOfMachine(pool->machine_type());
    const std::string path = absl::StrCat("workerPools[", i, "]");
    if (gpus < 0) {
      Checker(faults).Say(path, "NOT_SUPPORTED", "TPUs are not supported",
                          "a machine with GPUs or without", "name another machine type");
    }
    if (gpus > 0 && resources->gpu_count() == 0 && resources->gpu_milli() == 0) {
      resources->set_gpu_count(gpus);
    }
    const bool by_default = resources->cpu_milli() == 0 && resources->memory_bytes() == 0;
    if (resources->cpu_milli() == 0) resources->set_cpu_milli(kCpuMilliDefault);
    if (resources->memory_bytes() == 0) resources->set_memory_bytes(kMemoryDefault);
    if (pool->machine_type().empty() || gpus < 0) continue;
    const std::string type = Shorten(pool->machine_type());
    if (!IsMachineType(pool->machine_type())) {
      SayNote(path,
              absl::StrCat("there is no machine type ", type, ": a replica gets ",
                           ResourceText(*resources)),
              spec, faults);
    } else if (by_default) {
      SayNote(path,
              absl::StrCat("the machine type ", type,
                           " gives no cores or memory here: a replica gets 1 core and 256 MiB "
                           "unless trainyard.resources says more"),
              spec, faults);
    }
  }
}

void Default(int64_t seconds, google::protobuf::Duration* duration) {
  if (duration->seconds() == 0 && duration->nanos() == 0) duration->set_seconds(seconds);
}

void FillScheduling(v1::Scheduling* scheduling) {
  Default(kTimeoutSeconds, scheduling->mutable_timeout());
  Default(kStagingSeconds, scheduling->mutable_staging_timeout());
  Default(kPublishSeconds, scheduling->mutable_publish_timeout());
  Default(kStopAfterSeconds, scheduling->mutable_stop_after());
  // A grace of 0 that somebody wrote stays 0.
  if (!scheduling->has_grace()) scheduling->mutable_grace()->set_seconds(kGraceSeconds);
  if (scheduling->max_infrastructure_retries() == 0) {
    scheduling->set_max_infrastructure_retries(kInfrastructureRetries);
  }
}

void FillLaunch(v1::JobSpec* spec) {
  v1::Launch* launch = spec->mutable_launch();
  if (launch->processes_per_replica() == 0) launch->set_processes_per_replica(1);
  if (launch->placement() == v1::PLACEMENT_PREFERENCE_UNSPECIFIED) launch->set_placement(v1::PACK);
  int64_t ranks = 0;
  for (const v1::WorkerPool& pool : spec->worker_pools()) {
    ranks += static_cast<int64_t>(pool.replica_count()) * launch->processes_per_replica();
  }
  if (launch->launcher() == v1::LAUNCHER_UNSPECIFIED) {
    launch->set_launcher(ranks > 1 ? v1::MPIRUN : v1::DIRECT);
  }
}

void FillStudy(v1::JobSpec* spec) {
  if (!spec->has_study_spec()) return;
  if (spec->parallel_trial_count() == 0) spec->set_parallel_trial_count(1);
  v1::StudySpec* study = spec->mutable_study_spec();
  if (study->selection() == v1::StudySpec::SELECTION_UNSPECIFIED) {
    study->set_selection(v1::StudySpec::LAST);
  }
}

}  // namespace

TierTable DefaultTiers() {
  v1::ScaleTier custom;
  custom.set_name("CUSTOM");
  return {Tier("BASIC", 0, 0, 0), Tier("STANDARD_1", 4, 0, 3), Tier("PREMIUM_1", 19, 0, 11),
          Tier("BASIC_GPU", 0, 1, 0), custom};
}

void Overlay(const v1::Resources& over, v1::Resources* resources) {
  if (over.cpu_milli() != 0) resources->set_cpu_milli(over.cpu_milli());
  if (over.memory_bytes() != 0) resources->set_memory_bytes(over.memory_bytes());
  if (over.gpu_count() != 0) {
    resources->set_gpu_count(over.gpu_count());
    resources->clear_gpu_milli();
  }
  if (over.gpu_milli() != 0) {
    resources->set_gpu_milli(over.gpu_milli());
    if (over.gpu_count() == 0) resources->clear_gpu_count();
  }
  if (!over.gpu_models().empty()) *resources->mutable_gpu_models() = over.gpu_models();
  if (!over.gpu_profile().empty()) resources->set_gpu_profile(over.gpu_profile());
  if (over.gpu_memory_bytes() != 0) resources->set_gpu_memory_bytes(over.gpu_memory_bytes());
}

void AddNote(absl::string_view note, v1::JobSpec* spec) {
  const auto& notes = spec->notes();
  if (std::find(notes.begin(), notes.end(), std::string(note)) == notes.end()) {
    spec->add_notes(std::string(note));
  }
}

void FillJobSpec(const TierTable& tiers, v1::JobSpec* spec, v1::Faults* faults) {
  ApplyTier(tiers, spec, faults);
  SplitPrimary(spec);
  FillPools(spec, faults);
  FillScheduling(spec->mutable_scheduling());
  FillLaunch(spec);
  FillStudy(spec);
  v1::Program* program = spec->mutable_program();
  if (!program->python_module().empty() && program->interpreter().empty()) {
    program->set_interpreter("python3");
  }
}

v1::Faults ResolveJobSpec(const TierTable& tiers, v1::JobSpec* spec) {
  v1::Faults faults;
  FillJobSpec(tiers, spec, &faults);
  Checker checker(&faults);
  CheckValues(*spec, &checker);
  CheckComplete(*spec, &checker);
  return faults;
}

}  // namespace trainyard::spec
