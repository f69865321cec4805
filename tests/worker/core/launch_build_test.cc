// What a program sees: argv, environment, TF_CONFIG, CLUSTER_SPEC.
#include "worker/core/launch_build.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/errors.h"

namespace trainyard::worker {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

agent::v1::Assignment Gang(int ranks) {
  agent::v1::Assignment assignment;
  assignment.mutable_key()->set_run_uid(5);
  assignment.mutable_key()->set_epoch(9);
  assignment.set_job_id("job_1");
  assignment.mutable_program()->set_python_module("trainer.task");
  assignment.set_world_size(ranks);
  assignment.set_grace_ms(7000);
  assignment.set_timeout_ms(60000);
  assignment.set_stop_after_ms(900000);
  for (int rank = 0; rank < ranks; ++rank) {
    agent::v1::RankSlot* const slot = assignment.add_ranks();
    slot->set_rank(rank);
    slot->set_local_rank(rank);
    slot->set_task_type(rank == 0 ? "master" : "worker");
    slot->set_task_index(rank == 0 ? 0 : rank - 1);
  }
  return assignment;
}

LaunchContext Context() {
  LaunchContext context;
  context.folder = "/w/attempts/5-9-0";
  context.bin_folder = "/opt/bin";
  context.python_path = "/opt/lib/python";
  context.package_paths = {"/w/attempts/5-9-0/package/0"};
  context.base_env = {{"PATH", "/usr/bin"}};
  context.node_id = "node-1";
  context.cores = 8;
  context.master_port = 5000;
  context.lease_ms = 15000;
  return context;
}

LaunchSpec Build(const agent::v1::Assignment& assignment,
                 const LaunchContext& context = Context()) {
  absl::StatusOr<LaunchSpec> spec = BuildLaunchSpec(assignment, context);
  EXPECT_TRUE(spec.ok()) << spec.status();
  return spec.ok() ? *std::move(spec) : LaunchSpec();
}

void AddNumber(const std::string& name, double value, agent::v1::Assignment* assignment) {
  v1::ParameterValue* const parameter = assignment->add_parameters();
  parameter->set_parameter_id(name);
  parameter->set_number(value);
}

TEST(LaunchBuildTest, ArgvIsProgramThenUsersThenJobDirThenParameters) {
  agent::v1::Assignment assignment = Gang(1);
  assignment.mutable_program()->add_args("--train_steps");
  assignment.mutable_program()->add_args("1000");
  assignment.set_pass_job_dir(true);
  AddNumber("rate", 0.1, &assignment);
  const LaunchSpec spec = Build(assignment);
  EXPECT_THAT(spec.argv, ElementsAre("python3", "-m", "trainer.task", "--train_steps", "1000",
                                     "--job-dir=/w/attempts/5-9-0/job_dir", "--rate=0.1"));
  EXPECT_EQ(spec.job_dir_argument, "--job-dir=/w/attempts/5-9-0/job_dir");
  EXPECT_THAT(spec.parameters, ElementsAre("rate"));
}

TEST(LaunchBuildTest, ACommandIsTakenAsItIs) {
  agent::v1::Assignment assignment = Gang(1);
  assignment.mutable_program()->add_command("/bin/prog");
  assignment.mutable_program()->add_args("x; rm -rf $HOME");
  EXPECT_THAT(Build(assignment).argv, ElementsAre("/bin/prog", "x; rm -rf $HOME"));
}

TEST(LaunchBuildTest, ParametersAreWrittenAsTheManagedServicesDo) {
  v1::ParameterValue value;
  value.set_parameter_id("p");
  value.set_integer(339);
  EXPECT_EQ(ParameterArgument(value), "--p=339");
  value.set_number(0.49576010451421226);
  EXPECT_EQ(ParameterArgument(value), "--p=0.49576010451421226");
  value.set_number(64);
  EXPECT_EQ(ParameterArgument(value), "--p=64");
  value.set_number(1e-7);
  EXPECT_EQ(ParameterArgument(value), "--p=1e-07");
  for (const auto& [number, text] :
       {std::pair(100000.0, "--p=100000"), std::pair(1e9, "--p=1000000000"),
        std::pair(-3e6, "--p=-3000000"), std::pair(1e22, "--p=1e+22")}) {
    value.set_number(number);
    EXPECT_EQ(ParameterArgument(value), text) << "a program may want int";
  }
  value.set_text("adam w");
  EXPECT_EQ(ParameterArgument(value), "--p=adam w");
}

TEST(LaunchBuildTest, TheEnvironmentNamesJobFoldersAndRanks) {
  agent::v1::Assignment assignment = Gang(2);
  assignment.set_trial(4);
  assignment.add_study_metrics("accuracy");
  assignment.set_job_spec_json(R"({"displayName":"d"})");
  const LaunchSpec spec = Build(assignment);
  const std::string root = "/w/attempts/5-9-0/";
  const Environment expected = {{"AIP_MODEL_DIR", root + "model/"},
                                {"AIP_CHECKPOINT_DIR", root + "checkpoints/"},
                                {"AIP_TENSORBOARD_LOG_DIR", root + "tensorboard/"},
                                {"TRAINYARD_JOB_DIR", root + "job_dir"},
                                {"TRAINYARD_SOCKET", root + "reporter.sock"},
                                {"TRAINYARD_JOB", "job_1"},
                                {"TRAINYARD_TRIAL", "4"},
                                {"TRAINYARD_EPOCH", "9"},
                                {"CLOUD_ML_JOB_ID", "job_1"},
                                {"CLOUD_ML_TRIAL_ID", "4"},
                                {"CLOUD_ML_HP_METRIC_TAG", "accuracy"},
                                {"CLOUD_ML_JOB", R"({"displayName":"d"})"},
                                {"MASTER_ADDR", "127.0.0.1"},
                                {"MASTER_PORT", "5000"},
                                {"PYTHONUNBUFFERED", "1"},
                                {"PYTHONPATH", root + "package/0:/opt/lib/python"},
                                {"OMP_NUM_THREADS", "4"},
                                {"PATH", "/usr/bin"}};
  for (const auto& [name, value] : expected) {
    ASSERT_EQ(spec.env.count(name), 1u) << name;
    EXPECT_EQ(spec.env.at(name), value) << name;
  }
  EXPECT_EQ(spec.env.count("TRAINYARD_RESUME_STEP"), 0u);
  ASSERT_EQ(spec.ranks.size(), 2u);
  EXPECT_EQ(spec.ranks[1].env.at("RANK"), "1");
  EXPECT_EQ(spec.ranks[1].env.at("LOCAL_RANK"), "1");
  EXPECT_EQ(spec.ranks[1].env.at("WORLD_SIZE"), "2");
  EXPECT_EQ(spec.ranks[1].env.at("LOCAL_WORLD_SIZE"), "2");
  EXPECT_EQ(spec.metric_file, root + "hypertune/output.metrics");
  EXPECT_NE(spec.ranks[1].env.at("CLOUD_ML_HP_METRIC_FILE"), spec.metric_file);
}

TEST(LaunchBuildTest, APlainJobHasNoTuningVariables) {
  const LaunchSpec spec = Build(Gang(1));
  for (const char* name : {"CLOUD_ML_TRIAL_ID", "CLOUD_ML_HP_METRIC_TAG", "CLOUD_ML_JOB"}) {
    EXPECT_EQ(spec.env.count(name), 0u) << name;
  }
  EXPECT_EQ(spec.job_dir_argument, "");
}

TEST(LaunchBuildTest, ARestoredCheckpointTellsItsStep) {
  agent::v1::Assignment assignment = Gang(1);
  assignment.set_checkpoint_tree("digest");
  assignment.set_checkpoint_step(0);
  EXPECT_EQ(Build(assignment).env.at("TRAINYARD_RESUME_STEP"), "0");
}

TEST(LaunchBuildTest, TheAttemptTokenNeverReachesTheProgram) {
  agent::v1::Assignment assignment = Gang(2);
  assignment.set_attempt_token("very-secret");
  EXPECT_THAT(LaunchSpecToJson(Build(assignment)), Not(HasSubstr("very-secret")));
}

TEST(LaunchBuildTest, TheUsersEnvironmentJoins) {
  agent::v1::Assignment assignment = Gang(1);
  auto& env = *assignment.mutable_program()->mutable_env();
  env["PYTHONPATH"] = "/mine";
  env["OMP_NUM_THREADS"] = "3";
  env["SEED"] = "7";
  const LaunchSpec spec = Build(assignment);
  EXPECT_EQ(spec.env.at("PYTHONPATH"), "/w/attempts/5-9-0/package/0:/opt/lib/python:/mine");
  EXPECT_EQ(spec.env.at("OMP_NUM_THREADS"), "3");
  EXPECT_EQ(spec.env.at("SEED"), "7");
}

TEST(LaunchBuildTest, ForbiddenVariablesAreRefusedByName) {
  for (const char* name : {"LD_PRELOAD", "LD_LIBRARY_PATH", "OMPI_MCA_btl", "PMIX_RANK", "RANK",
                           "TRAINYARD_SOCKET", "CUDA_VISIBLE_DEVICES", "TF_CONFIG", "AIP_MODEL_DIR",
                           "CLOUD_ML_JOB_ID", "MASTER_PORT", "1X", "A-B", "", "A=B"}) {
    agent::v1::Assignment assignment = Gang(1);
    (*assignment.mutable_program()->mutable_env())[name] = "x";
    const absl::StatusOr<LaunchSpec> spec = BuildLaunchSpec(assignment, Context());
    ASSERT_FALSE(spec.ok()) << name;
    EXPECT_EQ(ReasonOf(spec.status()), "BAD_VALUE");
    EXPECT_THAT(std::string(spec.status().message()), HasSubstr(name));
    EXPECT_THAT(FaultsOf(spec.status()).faults(0).field(), HasSubstr("program.env"));
  }
  EXPECT_FALSE(CheckUserVariable("X", std::string("a\0b", 3)).ok());
  EXPECT_TRUE(CheckUserVariable("TRAINYARD_HANG_TIMEOUT", "30").ok());  // a setting of the gang's
  EXPECT_FALSE(CheckUserVariable("X", std::string(70000, 'x')).ok());
  EXPECT_TRUE(CheckUserVariable("_x1", "").ok());
}

TEST(LaunchBuildTest, OnlyTheAllowedPartOfTheDaemonsEnvironmentIsInherited) {
  const Environment env = AllowedEnvironment(
      {"PATH=/p", "HOME=/root", "LC_ALL=C", "CUDA_HOME=/cuda", "CUDA_VISIBLE_DEVICES=3",
       "TRAINYARD_TOKEN=secret", "AWS_SECRET_ACCESS_KEY=x", "LD_PRELOAD=/x", "OMPI_X=1",
       "LD_LIBRARY_PATH=/cuda/lib", "no_equals_sign", "SLURM_JOB_ID=1", "https_proxy=p=1"});
  const Environment expected = {{"PATH", "/p"},
                                {"HOME", "/root"},
                                {"LC_ALL", "C"},
                                {"CUDA_HOME", "/cuda"},
                                {"LD_LIBRARY_PATH", "/cuda/lib"},
                                {"https_proxy", "p=1"}};
  EXPECT_EQ(env, expected);
  EXPECT_EQ(AllowedEnvironment({}).count("PATH"), 1u) << "there is always some PATH";
}

TEST(LaunchBuildTest, DevicesBecomeVisibleByLocalRank) {
  agent::v1::Assignment assignment = Gang(2);
  assignment.mutable_ranks(0)->add_device_indices(2);
  assignment.mutable_ranks(0)->add_device_indices(3);
  assignment.mutable_ranks(0)->add_device_uuids("GPU-a");
  assignment.mutable_ranks(0)->add_device_uuids("GPU-b");
  assignment.mutable_ranks(1)->add_device_indices(0);
  assignment.mutable_ranks(1)->add_device_uuids("MIG-c");
  const LaunchSpec spec = Build(assignment);
  EXPECT_EQ(spec.ranks[0].env.at("CUDA_VISIBLE_DEVICES"), "2,3");
  EXPECT_EQ(spec.ranks[0].env.at("CUDA_DEVICE_ORDER"), "PCI_BUS_ID");
  EXPECT_EQ(spec.ranks[1].env.at("CUDA_VISIBLE_DEVICES"), "MIG-c");
  // Without devices a rank sees none, rather than somebody else's.
  EXPECT_EQ(Build(Gang(1)).ranks[0].env.at("CUDA_VISIBLE_DEVICES"), "");
}

TEST(LaunchBuildTest, ThreadsFollowTheShareOfCores) {
  agent::v1::Assignment assignment = Gang(1);
  EXPECT_EQ(Build(assignment).env.at("OMP_NUM_THREADS"), "8");
  assignment.mutable_per_rank()->set_cpu_milli(2500);
  EXPECT_EQ(Build(assignment).env.at("OMP_NUM_THREADS"), "2");
  assignment.mutable_per_rank()->set_cpu_milli(250);
  EXPECT_EQ(Build(assignment).env.at("OMP_NUM_THREADS"), "1");
  EXPECT_EQ(Build(Gang(20)).env.at("OMP_NUM_THREADS"), "1");
}

TEST(LaunchBuildTest, LaunchersByDefaultAndByWish) {
  EXPECT_EQ(Build(Gang(1)).launcher, "direct");
  EXPECT_EQ(Build(Gang(2)).launcher, "mpirun");
  EXPECT_EQ(Build(Gang(2)).rank_shim, "/opt/bin/trainyard-rank");
  agent::v1::Assignment assignment = Gang(2);
  assignment.mutable_launch()->set_launcher(v1::DIRECT);
  EXPECT_EQ(Build(assignment).launcher, "direct");
  agent::v1::Assignment one = Gang(1);
  one.mutable_launch()->set_launcher(v1::MPIRUN);
  EXPECT_EQ(Build(one).launcher, "mpirun");
}

void AddPeer(int32_t member, const std::string& address, std::initializer_list<int32_t> ranks,
             agent::v1::Assignment* assignment) {
  agent::v1::Peer* const peer = assignment->add_peers();
  peer->set_member(member);
  peer->set_node_id(absl::StrCat("node-", member));
  peer->set_address(address);
  peer->set_port(6000 + member);
  for (const int32_t rank : ranks) peer->add_ranks(rank);
}

TEST(LaunchBuildTest, AGangOverSeveralNodesKnowsItsNodes) {
  agent::v1::Assignment assignment = Gang(2);
  AddPeer(0, "10.0.0.1", {0, 2}, &assignment);
  AddPeer(1, "10.0.0.2", {1, 3}, &assignment);
  LaunchContext context = Context();
  context.interface = "eth7";
  context.port_range = "20000-20099";
  const absl::StatusOr<LaunchSpec> spec = BuildLaunchSpec(assignment, context);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->launcher, "mpirun");
  ASSERT_EQ(spec->gang.size(), 2u);
  EXPECT_EQ(spec->gang[1].node, "node-1");
  EXPECT_EQ(spec->gang[1].address, "10.0.0.2");
  EXPECT_EQ(spec->gang[1].ranks, (std::vector<int32_t>{1, 3}));
  EXPECT_EQ(spec->network_interface, "eth7");
  EXPECT_EQ(spec->port_range, "20000-20099");
  EXPECT_EQ(spec->env.at("MASTER_ADDR"), "10.0.0.1");
  EXPECT_EQ(spec->env.at("MASTER_PORT"), "6000") << "the head's, on every node";
  EXPECT_EQ(spec->env.at("GLOO_SOCKET_IFNAME"), "eth7");
  EXPECT_EQ(json::parse(spec->ranks[0].env.at("TF_CONFIG"))["cluster"]["worker"],
            json::parse(R"(["10.0.0.2:6002", "10.0.0.1:6003", "10.0.0.2:6004"])"));
  EXPECT_TRUE(Build(Gang(2)).gang.empty());
  EXPECT_EQ(Build(Gang(2)).network_interface, "lo");
}

TEST(LaunchBuildTest, NodesOfOneAddressCannotBeToldApartByMpirun) {
  agent::v1::Assignment assignment = Gang(2);
  AddPeer(0, "10.0.0.1", {0}, &assignment);
  AddPeer(1, "10.0.0.1", {1}, &assignment);
  const absl::Status refused = BuildLaunchSpec(assignment, Context()).status();
  EXPECT_EQ(ReasonOf(refused), "NOT_SUPPORTED");
  EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("node-0 and node-1"));
  assignment.mutable_launch()->set_launcher(v1::DIRECT);
  EXPECT_EQ(Build(assignment).env.at("MASTER_ADDR"), "10.0.0.1");
}

TEST(LaunchBuildTest, WhatCannotRunIsRefused) {
  agent::v1::Assignment no_program = Gang(1);
  no_program.mutable_program()->clear_python_module();
  EXPECT_EQ(ReasonOf(BuildLaunchSpec(no_program, Context()).status()), "MISSING_FIELD");
  EXPECT_EQ(ReasonOf(BuildLaunchSpec(Gang(0), Context()).status()), "MISSING_FIELD");
  agent::v1::Assignment zero = Gang(1);
  zero.mutable_program()->add_args(std::string("a\0b", 3));
  EXPECT_EQ(ReasonOf(BuildLaunchSpec(zero, Context()).status()), "BAD_VALUE");
}

TEST(LaunchBuildTest, TimesComeFromTheAssignment) {
  agent::v1::Assignment assignment = Gang(1);
  LaunchSpec spec = Build(assignment);
  EXPECT_EQ(spec.grace_ms, 7000);
  EXPECT_EQ(spec.timeout_ms, 60000);
  EXPECT_EQ(spec.lease_ms, 900000);
  assignment.set_strict_lease(true);
  assignment.set_grace_ms(0);
  spec = Build(assignment);
  EXPECT_EQ(spec.lease_ms, 15000);
  EXPECT_EQ(spec.grace_ms, 10000) << "the default";
}

TEST(ClusterEnvTest, TfConfigAndClusterSpecNameTheWholeGang) {
  agent::v1::Assignment assignment = Gang(3);
  assignment.set_trial(2);
  assignment.set_job_spec_json(R"({"displayName":"d"})");
  const LaunchSpec spec = Build(assignment);
  EXPECT_EQ(json::parse(spec.ranks[2].env.at("TF_CONFIG")), json::parse(R"({
      "cluster": {"master": ["127.0.0.1:5001"],
                  "worker": ["127.0.0.1:5002", "127.0.0.1:5003"]},
      "task": {"type": "worker", "index": 1, "trial": "2"},
      "job": {"displayName": "d"}, "environment": "cloud"})"));
  EXPECT_EQ(json::parse(spec.ranks[2].env.at("CLUSTER_SPEC")), json::parse(R"({
      "cluster": {"workerpool0": ["127.0.0.1:5001"],
                  "workerpool1": ["127.0.0.1:5002", "127.0.0.1:5003"]},
      "task": {"type": "workerpool1", "index": 1, "trial": "2"},
      "job": {"displayName": "d"}, "environment": "cloud"})"));
}

TEST(ClusterEnvTest, EvaluatorsAreApart) {
  agent::v1::Assignment assignment = Gang(2);
  assignment.mutable_ranks(1)->set_task_type("evaluator");
  assignment.mutable_ranks(1)->set_task_index(0);
  const LaunchSpec spec = Build(assignment);
  const json tf = json::parse(spec.ranks[1].env.at("TF_CONFIG"));
  EXPECT_EQ(tf["cluster"].count("evaluator"), 0u);
  EXPECT_EQ(tf["task"]["type"], "evaluator");
  const json cluster = json::parse(spec.ranks[1].env.at("CLUSTER_SPEC"));
  EXPECT_EQ(cluster["cluster"]["workerpool3"].size(), 1u);
  EXPECT_EQ(cluster["task"]["type"], "workerpool3");
}

TEST(ClusterEnvTest, PeersOnOtherNodesAreNamedByTheirAddresses) {
  agent::v1::Assignment assignment = Gang(1);
  assignment.set_world_size(2);
  assignment.mutable_launch()->set_launcher(v1::DIRECT);
  for (int member = 0; member < 2; ++member) {
    agent::v1::Peer* const peer = assignment.add_peers();
    peer->set_member(member);
    peer->set_address("10.0.0." + std::to_string(member + 1));
    peer->add_ranks(member);
  }
  const json tf = json::parse(Build(assignment).ranks[0].env.at("TF_CONFIG"));
  EXPECT_EQ(tf["cluster"]["master"], json({"10.0.0.1:5001"}));
  EXPECT_EQ(tf["cluster"]["worker"], json({"10.0.0.2:5002"}));
}

TEST(ClusterEnvTest, ABrokenJobTextDoesNoHarm) {
  agent::v1::Assignment assignment = Gang(1);
  assignment.set_job_spec_json("{not json");
  const json tf = json::parse(Build(assignment).ranks[0].env.at("TF_CONFIG"));
  EXPECT_EQ(tf["job"], json::object());
}

}  // namespace
}  // namespace trainyard::worker
