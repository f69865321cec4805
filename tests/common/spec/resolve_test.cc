// Tiers, defaults, checks over the wire, grids and durations.
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/spec/accelerators.h"
#include "common/spec/bytes.h"
#include "common/spec/spec.h"

namespace trainyard::spec {
namespace {

v1::JobSpec ModuleJob(const std::string& tier) {
  v1::JobSpec spec;
  spec.set_scale_tier(tier);
  spec.mutable_program()->set_python_module("trainer.task");
  return spec;
}

std::string ReasonsOf(const v1::Faults& faults) {
  std::string reasons;
  for (const v1::Fault& fault : faults.faults()) {
    if (!fault.is_note()) {
      absl::StrAppend(&reasons, reasons.empty() ? "" : " ", fault.reason(), "@", fault.field());
    }
  }
  return reasons;
}

std::string WireReasonsOf(const v1::JobSpec& spec) {
  const absl::Status status = CheckJobSpec(spec);
  EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status));
  return ReasonsOf(FaultsOf(status));
}

TEST(ResolveTest, MachineTypeOfNobodySaysWhatItBecomes) {
  const auto note_of = [](const std::string& type, int64_t cpu_milli) -> std::string {
    v1::JobSpec spec = ModuleJob("CUSTOM");
    v1::WorkerPool* pool = spec.add_worker_pools();
    pool->set_replica_count(1);
    pool->set_machine_type(type);
    pool->mutable_resources()->set_cpu_milli(cpu_milli);
    ResolveJobSpec(DefaultTiers(), &spec);
    return spec.notes_size() == 0 ? "" : spec.notes(0);
  };
  EXPECT_EQ(note_of("n1-standrd-4", 0),
            "there is no machine type n1-standrd-4: a replica gets 1 core, 256 MiB");
  EXPECT_EQ(note_of("huge", 2500),
            "there is no machine type huge: a replica gets 2.5 cores, 256 MiB");
  for (const char* type :
       {"n1-standard-8", "e2-micro", "c2d-highcpu-112", "a2-highgpu-1g", "standard_gpu",
        "complex_model_m", "m3-ultramem-32", "n2-custom-4-4096"}) {
    EXPECT_TRUE(absl::StartsWith(note_of(type, 0), "the machine type ")) << type;
    EXPECT_EQ(note_of(type, 1000), "") << type;
  }
}

TEST(ResolveTest, TiersKeepTheirReplicaCounts) {
  const struct {
    const char* tier;
    std::vector<int> replicas;
    int gpus;
  } rows[] = {{"BASIC", {1}, 0},     {"standard-1", {1, 4}, 0}, {"PREMIUM_1", {1, 19}, 0},
              {"basic_gpu", {1}, 1}, {"CUSTOM", {1}, 0},        {"", {1}, 0}};
  for (const auto& row : rows) {
    v1::JobSpec spec = ModuleJob(row.tier);
    EXPECT_EQ(ReasonsOf(ResolveJobSpec(DefaultTiers(), &spec)), "") << row.tier;
    ASSERT_EQ(spec.worker_pools_size(), static_cast<int>(row.replicas.size())) << row.tier;
    for (int i = 0; i < spec.worker_pools_size(); ++i) {
      EXPECT_EQ(spec.worker_pools(i).replica_count(), row.replicas[i]);
      EXPECT_EQ(spec.worker_pools(i).resources().cpu_milli(), 1000);
      EXPECT_EQ(spec.worker_pools(i).resources().memory_bytes(), 256 << 20);
      EXPECT_EQ(spec.worker_pools(i).resources().gpu_count(), row.gpus);
      EXPECT_EQ(spec.worker_pools(i).role(), i == 0 ? "master" : "worker");
    }
    EXPECT_EQ(spec.launch().launcher(), row.replicas.size() > 1 ? v1::MPIRUN : v1::DIRECT);
  }
}

TEST(ResolveTest, ParameterServersBecomeANote) {
  v1::JobSpec spec = ModuleJob("STANDARD_1");
  const v1::Faults faults = ResolveJobSpec(DefaultTiers(), &spec);
  ASSERT_EQ(faults.faults_size(), 1);
  EXPECT_TRUE(faults.faults(0).is_note());
  ASSERT_EQ(spec.notes_size(), 1);
  EXPECT_TRUE(absl::StrContains(spec.notes(0), "3 parameter servers"));
}

TEST(ResolveTest, DefaultsAreFilledAndStay) {
  v1::JobSpec spec = ModuleJob("BASIC");
  ResolveJobSpec(DefaultTiers(), &spec);
  const v1::Scheduling& scheduling = spec.scheduling();
  EXPECT_EQ(scheduling.timeout().seconds(), 7 * 86400);
  EXPECT_EQ(scheduling.grace().seconds(), 10);
  EXPECT_EQ(scheduling.staging_timeout().seconds(), 600);
  EXPECT_EQ(scheduling.publish_timeout().seconds(), 600);
  EXPECT_EQ(scheduling.stop_after().seconds(), 900);
  EXPECT_EQ(scheduling.max_wait().seconds(), 0);
  EXPECT_EQ(scheduling.max_retries(), 0);
  EXPECT_EQ(scheduling.max_infrastructure_retries(), 5);
  EXPECT_EQ(spec.program().interpreter(), "python3");
  const std::string once = spec.SerializeAsString();
  ResolveJobSpec(DefaultTiers(), &spec);
  EXPECT_EQ(spec.SerializeAsString(), once);
}

TEST(ResolveTest, WhatTheSpecSaysIsKept) {
  v1::JobSpec spec = ModuleJob("BASIC");
  spec.mutable_scheduling()->mutable_grace();  // 0 s, said so
  spec.mutable_scheduling()->set_max_infrastructure_retries(-1);
  spec.mutable_scheduling()->mutable_timeout()->set_seconds(5);
  spec.mutable_launch()->set_launcher(v1::MPIRUN);
  EXPECT_EQ(ReasonsOf(ResolveJobSpec(DefaultTiers(), &spec)), "");
  EXPECT_EQ(spec.scheduling().grace().seconds(), 0);
  EXPECT_EQ(spec.scheduling().max_infrastructure_retries(), -1);
  EXPECT_EQ(spec.scheduling().timeout().seconds(), 5);
  EXPECT_EQ(spec.launch().launcher(), v1::MPIRUN);
}

TEST(ResolveTest, ATemplateLaysItsResourcesOverTheTier) {
  v1::JobSpec spec = ModuleJob("STANDARD_1");
  spec.add_worker_pools()->mutable_resources()->set_cpu_milli(250);
  spec.mutable_worker_pools(0)->mutable_resources()->add_gpu_models("A100");
  spec.mutable_worker_pools(0)->mutable_resources()->set_gpu_count(1);
  EXPECT_EQ(ReasonsOf(ResolveJobSpec(DefaultTiers(), &spec)), "");
  ASSERT_EQ(spec.worker_pools_size(), 2);
  for (const v1::WorkerPool& pool : spec.worker_pools()) {
    EXPECT_EQ(pool.resources().cpu_milli(), 250);
    EXPECT_EQ(pool.resources().memory_bytes(), 256 << 20);
    EXPECT_EQ(pool.resources().gpu_models_size(), 1);
  }
}

TEST(ResolveTest, MachineTypesBringTheirGpus) {
  const struct {
    const char* type;
    int gpus;
  } rows[] = {{"n1-standard-8", 0},       {"a2-highgpu-4g", 4},  {"a2-megagpu-16g", 16},
              {"a3-highgpu-8g", 8},       {"g2-standard-24", 2}, {"standard_gpu", 1},
              {"complex_model_l_gpu", 8}, {"our-own-type", 0}};
  for (const auto& row : rows) {
    v1::JobSpec spec = ModuleJob("CUSTOM");
    spec.add_worker_pools()->set_machine_type(row.type);
    spec.mutable_worker_pools(0)->set_replica_count(1);
    EXPECT_EQ(ReasonsOf(ResolveJobSpec(DefaultTiers(), &spec)), "") << row.type;
    EXPECT_EQ(spec.worker_pools(0).resources().gpu_count(), row.gpus) << row.type;
  }
  v1::JobSpec tpu = ModuleJob("CUSTOM");
  tpu.add_worker_pools()->set_machine_type("cloud_tpu");
  tpu.mutable_worker_pools(0)->set_replica_count(1);
  EXPECT_EQ(ReasonsOf(ResolveJobSpec(DefaultTiers(), &tpu)), "NOT_SUPPORTED@workerPools[0]");
}

TEST(ResolveTest, DriversNamesBecomeTheModelsThatSpecsName) {
  for (const auto& [driver, model] : std::vector<std::pair<std::string, std::string>>{
           {"NVIDIA A100-SXM4-80GB", "A100"},
           {"NVIDIA A100-PCIE-40GB", "A100"},
           {"NVIDIA H100 80GB HBM3", "H100"},
           {"NVIDIA H100 NVL", "H100"},
           {"NVIDIA H200", "H200"},
           {"NVIDIA L4", "L4"},
           {"Tesla T4", "T4"},
           {"Tesla V100-SXM2-16GB", "V100"},
           {"NVIDIA GB200", "GB200"},
           {"NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000"},
           {"NVIDIA GeForce RTX 4090", "RTX 4090"},
           {"", ""},
           {"NVIDIA", ""}}) {
    EXPECT_EQ(PlainModel(driver), model) << driver;
  }
  // Every model that a spec can name is one that a driver's name can become.
  for (const Accelerator& accelerator : Accelerators()) {
    EXPECT_EQ(PlainModel("NVIDIA " + accelerator.model), accelerator.model);
  }
  // The maker and the family may be left out or mixed up.
  for (const char* typed : {"A100", "NVIDIA_A100", "nvidia-tesla-a100", "TESLA_A100"}) {
    const absl::StatusOr<Accelerator> named = AcceleratorNamed(typed);
    ASSERT_TRUE(named.ok()) << typed << ": " << named.status();
    EXPECT_EQ(named->name, "NVIDIA_TESLA_A100") << typed;
  }
  EXPECT_EQ(AcceleratorNamed("a100-80gb")->name, "NVIDIA_A100_80GB");
  EXPECT_FALSE(AcceleratorNamed("A10").ok());
  EXPECT_FALSE(AcceleratorNamed("V2").ok()) << "a part of a name is none";
  v1::Resources resources;
  AskFor(*AcceleratorNamed("nvidia-a100-80gb"), &resources);
  EXPECT_EQ(resources.gpu_models(0), "A100");
  EXPECT_GT(resources.gpu_memory_bytes(), int64_t{40} << 30) << "not the small one";
}

TEST(ResolveTest, ThePrimaryPoolHasOneReplica) {
  v1::JobSpec spec = ModuleJob("CUSTOM");
  spec.add_worker_pools()->set_replica_count(3);
  spec.add_worker_pools()->set_replica_count(2);
  EXPECT_EQ(ReasonsOf(ResolveJobSpec(DefaultTiers(), &spec)), "");
  ASSERT_EQ(spec.worker_pools_size(), 3);
  EXPECT_EQ(spec.worker_pools(0).replica_count(), 1);
  EXPECT_EQ(spec.worker_pools(1).replica_count(), 2);
  EXPECT_EQ(spec.worker_pools(1).role(), "worker");
  EXPECT_EQ(spec.worker_pools(2).replica_count(), 2);
}

TEST(ResolveTest, UnknownTiersAreRefusedByName) {
  v1::JobSpec spec = ModuleJob("BASIK");
  const v1::Faults faults = ResolveJobSpec(DefaultTiers(), &spec);
  ASSERT_EQ(ReasonsOf(faults), "BAD_ENUM@scaleTier");
  EXPECT_EQ(faults.faults(0).fix(), "did you mean BASIC?");
  v1::JobSpec tpu = ModuleJob("BASIC_TPU");
  EXPECT_EQ(ReasonsOf(ResolveJobSpec(DefaultTiers(), &tpu)), "NOT_SUPPORTED@scaleTier");
}

TEST(CheckTest, AnEmptySpecHasNoProgramAndNoReplica) {
  EXPECT_EQ(WireReasonsOf(v1::JobSpec()), "MISSING_FIELD@program MISSING_FIELD@workerPools");
}

TEST(CheckTest, AResolvedSpecIsGood) {
  v1::JobSpec spec = ModuleJob("BASIC");
  ResolveJobSpec(DefaultTiers(), &spec);
  EXPECT_EQ(WireReasonsOf(spec), "");
}

TEST(CheckTest, HostileValuesAreRefusedAllAtOnce) {
  v1::JobSpec spec = ModuleJob("BASIC");
  ResolveJobSpec(DefaultTiers(), &spec);
  spec.set_display_name(std::string(129, 'x'));
  (*spec.mutable_labels())["Upper"] = "x";
  spec.mutable_program()->set_python_module("trainer; rm -rf /");
  (*spec.mutable_program()->mutable_env())["A=B"] = "x";
  spec.mutable_worker_pools(0)->set_replica_count(-1);
  spec.mutable_worker_pools(0)->mutable_resources()->set_cpu_milli(-5);
  spec.mutable_worker_pools(0)->mutable_resources()->set_gpu_milli(1000);
  spec.mutable_scheduling()->set_priority(1001);
  spec.mutable_scheduling()->mutable_grace()->set_seconds(-1);
  spec.set_job_dir("ftp://host/x");
  spec.mutable_metrics()->set_regex("(((");
  spec.mutable_launch()->set_processes_per_replica(100'000);
  EXPECT_EQ(WireReasonsOf(spec),
            "BAD_NAME@displayName BAD_NAME@labels BAD_VALUE@program.pythonModule "
            "BAD_NAME@program.env OUT_OF_RANGE@workerPools[0].replicaCount "
            "OUT_OF_RANGE@workerPools[0].resources OUT_OF_RANGE@workerPools[0].resources "
            "OUT_OF_RANGE@scheduling.priority OUT_OF_RANGE@scheduling.grace BAD_VALUE@jobDir "
            "BAD_VALUE@metrics.regex OUT_OF_RANGE@launch.processesPerReplica "
            "MISSING_FIELD@workerPools");
}

TEST(CheckTest, EndlessDurationsAreRefused) {
  v1::JobSpec spec = ModuleJob("BASIC");
  ResolveJobSpec(DefaultTiers(), &spec);
  spec.mutable_scheduling()->mutable_timeout()->set_seconds(int64_t{1} << 60);
  spec.mutable_scheduling()->mutable_max_wait()->set_seconds(int64_t{1} << 60);
  EXPECT_EQ(WireReasonsOf(spec), "OUT_OF_RANGE@scheduling.timeout OUT_OF_RANGE@scheduling.maxWait");
}

TEST(CheckTest, SizesAreLimited) {
  v1::JobSpec spec = ModuleJob("BASIC");
  ResolveJobSpec(DefaultTiers(), &spec);
  spec.mutable_program()->add_args(std::string(kSpecBytesMax, 'x'));
  EXPECT_EQ(WireReasonsOf(spec), "SPEC_TOO_LARGE@");
  spec.mutable_program()->clear_args();
  for (int i = 0; i < 101; ++i) spec.mutable_program()->add_packages()->set_uri("p");
  EXPECT_EQ(WireReasonsOf(spec), "OUT_OF_RANGE@program.packages");
}

v1::StudySpec OneParameter() {
  v1::StudySpec study;
  study.add_metrics()->set_metric_id("loss");
  study.mutable_metrics(0)->set_goal(v1::StudySpec::MINIMIZE);
  study.add_parameters()->set_parameter_id("x");
  study.mutable_parameters(0)->mutable_double_range()->set_max(1);
  return study;
}

TEST(CheckTest, StudiesOverTheWire) {
  EXPECT_TRUE(CheckStudySpec(OneParameter()).ok());
  EXPECT_EQ(ReasonsOf(FaultsOf(CheckStudySpec(v1::StudySpec()))),
            "MISSING_FIELD@metrics MISSING_FIELD@parameters");
  v1::StudySpec study = OneParameter();
  study.mutable_parameters(0)->mutable_double_range()->set_max(
      std::numeric_limits<double>::quiet_NaN());
  study.add_parameters()->set_parameter_id("--x");
  study.mutable_metrics(0)->clear_goal();
  study.mutable_stopping()->set_reduction_factor(0.5);
  EXPECT_EQ(ReasonsOf(FaultsOf(CheckStudySpec(study))),
            "MISSING_FIELD@metrics[0] BAD_SEARCH_SPACE@parameters[0].doubleRange "
            "BAD_NAME@parameters[1].parameterId MISSING_FIELD@parameters[1] "
            "OUT_OF_RANGE@stopping");
}

TEST(GridTest, CountsConditionsOnce) {
  v1::StudySpec study;
  auto* optimizer = study.add_parameters();
  for (const char* value : {"sgd", "adam", "lamb"}) {
    optimizer->mutable_categories()->add_values(value);
  }
  auto* child = optimizer->add_conditional_parameters();
  child->mutable_condition()->add_categorical_values("sgd");
  child->mutable_parameter()->mutable_integer_range()->set_min(1);
  child->mutable_parameter()->mutable_integer_range()->set_max(4);
  auto* layers = study.add_parameters()->mutable_integer_range();
  layers->set_min(0);
  layers->set_max(9);
  // sgd with 4 values below it, adam, lamb; times 10 layers.
  EXPECT_EQ(GridPoints(study), (4 + 1 + 1) * 10);
  layers->set_min(std::numeric_limits<int64_t>::min());
  layers->set_max(std::numeric_limits<int64_t>::max());
  EXPECT_EQ(GridPoints(study), std::numeric_limits<int64_t>::max());
}

TEST(GridTest, DeepConditionsAreCountedInLinearTime) {
  v1::StudySpec study;
  auto* parameter = study.add_parameters();
  int64_t expected = 1;
  for (int depth = 0; depth < 12; ++depth) {
    for (int value = 0; value < 10; ++value) parameter->mutable_numbers()->add_values(value);
    expected *= 10;
    auto* child = parameter->add_conditional_parameters();
    for (int value = 0; value < 10; ++value) child->mutable_condition()->add_discrete_values(value);
    parameter = child->mutable_parameter();
  }
  parameter->mutable_integer_range()->set_max(0);
  EXPECT_EQ(GridPoints(study), expected);
}

TEST(DurationTest, UnitsAndSums) {
  const struct {
    const char* text;
    double seconds;
  } rows[] = {{"300s", 300}, {"1.5h", 5400},  {"2d", 172800}, {"10m", 600},   {"3600", 3600},
              {"0", 0},      {"1h30m", 5400}, {"500ms", 0.5}, {"0.25s", 0.25}};
  for (const auto& row : rows) {
    const auto seconds = ParseDurationSeconds(row.text);
    ASSERT_TRUE(seconds.ok()) << row.text;
    EXPECT_DOUBLE_EQ(*seconds, row.seconds) << row.text;
  }
}

TEST(DurationTest, OthersAreRefusedWithTheNearestSpelling) {
  const struct {
    const char* text;
    const char* fix;
  } rows[] = {{"5 mins", "write 5m"},    {"10 Hours", "write 10h"}, {"3 days", "write 3d"},
              {"1,5h", "write 1"},       {"", "write a number"},    {"-5s", "write a number"},
              {"h", "write a number"},   {"1y", "write a number"},  {"1..5s", "write a number"},
              {"1e9d", "write a number"}};
  for (const auto& row : rows) {
    const auto seconds = ParseDurationSeconds(row.text);
    ASSERT_FALSE(seconds.ok()) << row.text;
    EXPECT_EQ(ReasonOf(seconds.status()), "BAD_DURATION");
    const std::string fix = FaultsOf(seconds.status()).faults(0).fix();
    EXPECT_TRUE(absl::StartsWith(fix, row.fix) || absl::StartsWith(fix, "write a number"))
        << row.text << ": " << fix;
  }
  EXPECT_FALSE(ParseDurationSeconds("99999999999999d").ok());
}

TEST(BytesTest, Units) {
  EXPECT_EQ(ParseBytes("512MiB"), 512LL << 20);
  EXPECT_EQ(ParseBytes("4 Gi"), 4LL << 30);
  EXPECT_EQ(ParseBytes("1.5GB"), 1'500'000'000);
  EXPECT_EQ(ParseBytes("1000"), 1000);
  EXPECT_EQ(ParseBytes("2k"), 2000);
  for (const char* bad : {"", "MiB", "-1", "1 potato", "1e3", "9999999999999TiB"}) {
    EXPECT_FALSE(ParseBytes(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace trainyard::spec
