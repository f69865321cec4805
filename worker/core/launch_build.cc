// See launch_build.h; TF_CONFIG and CLUSTER_SPEC are in cluster_env.cc.
#include "worker/core/launch_build.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "worker/core/cluster_env.h"

namespace trainyard::worker {
namespace {

using agent::v1::Assignment;

constexpr char kHypertuneRankZero[] = "output.metrics";

std::string In(const LaunchContext& context, absl::string_view name) {
  return absl::StrCat(context.folder, "/", name);
}

std::string JobDirArgument(const LaunchContext& context) {
  return absl::StrCat("--job-dir=", In(context, layout::kJobDir));
}

absl::StatusOr<std::vector<std::string>> ArgvOf(const Assignment& assignment,
                                                const LaunchContext& context) {
  const v1::Program& program = assignment.program();
  std::vector<std::string> argv(program.command().begin(), program.command().end());
  if (argv.empty() && !program.python_module().empty()) {
    argv = {program.interpreter().empty() ? "python3" : program.interpreter(), "-m",
            program.python_module()};
  }
  const bool chosen_by_us = program.interpreter().empty() || program.interpreter() == "python3";
  if (chosen_by_us && !argv.empty() && argv[0] == "python3") argv[0] = context.python;
  if (argv.empty() || argv[0].empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "MISSING_FIELD",
                     "the job names no program", "set a command or a Python module", "program");
  }
  argv.insert(argv.end(), program.args().begin(), program.args().end());
  if (assignment.pass_job_dir()) argv.push_back(JobDirArgument(context));
  for (const v1::ParameterValue& parameter : assignment.parameters()) {
    argv.push_back(ParameterArgument(parameter));
  }
  for (const std::string& argument : argv) {
    if (argument.find('\0') == std::string::npos) continue;
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                     "an argument holds a zero byte", "remove it", "program.args");
  }
  return argv;
}

// What every rank shares.
Environment CommonEnvironment(const Assignment& assignment, const LaunchContext& context) {
  Environment env = context.base_env;
  env["PYTHONUNBUFFERED"] = std::string("1");
  env["CLOUD_ML_JOB_ID"] = assignment.job_id();
  if (!assignment.job_spec_json().empty()) env["CLOUD_ML_JOB"] = assignment.job_spec_json();
  if (assignment.trial() > 0) env["CLOUD_ML_TRIAL_ID"] = absl::StrCat(assignment.trial());
  if (!assignment.study_metrics().empty()) {
    env["CLOUD_ML_HP_METRIC_TAG"] = assignment.study_metrics(0);
  }
  env["AIP_MODEL_DIR"] = In(context, absl::StrCat(layout::kModel, "/"));
  env["AIP_CHECKPOINT_DIR"] = In(context, absl::StrCat(layout::kCheckpoints, "/"));
  env["AIP_TENSORBOARD_LOG_DIR"] = In(context, absl::StrCat(layout::kTensorboard, "/"));
  env["TRAINYARD_JOB"] = assignment.job_id();
  env["TRAINYARD_TRIAL"] = absl::StrCat(assignment.trial());
  env["TRAINYARD_EPOCH"] = absl::StrCat(assignment.key().epoch());
  env["TRAINYARD_JOB_DIR"] = In(context, layout::kJobDir);
  env["TRAINYARD_SOCKET"] = In(context, layout::kReporterSocket);
  if (!context.training_library.empty()) {
    env["TRAINYARD_TRAINING_LIBRARY"] = context.training_library;
  }
  if (!assignment.checkpoint_tree().empty()) {
    env["TRAINYARD_RESUME_STEP"] = absl::StrCat(assignment.checkpoint_step());
  }
  env["MASTER_ADDR"] = MasterAddress(assignment, context.master_address);
  env["MASTER_PORT"] = absl::StrCat(MasterPort(assignment, context.master_port));
  if (assignment.peers_size() > 1 && !context.interface.empty()) {
    // Their libraries would guess by the host's name, which often means loopback.
    env["GLOO_SOCKET_IFNAME"] = context.interface;
    env["NCCL_SOCKET_IFNAME"] = context.interface;
  }
  return env;
}

std::string PythonPath(const LaunchContext& context, const std::string& users) {
  std::vector<std::string> folders = context.package_paths;
  if (!context.python_path.empty()) folders.push_back(context.python_path);
  if (!users.empty()) folders.push_back(users);
  return absl::StrJoin(folders, ":");
}

int64_t ThreadsPerRank(const Assignment& assignment, const LaunchContext& context) {
  const int64_t asked = assignment.per_rank().cpu_milli() / 1000;
  if (assignment.per_rank().cpu_milli() > 0) return std::max<int64_t>(1, asked);
  return std::max<int64_t>(1, context.cores / std::max(1, assignment.ranks_size()));
}

std::string VisibleDevices(const agent::v1::RankSlot& slot) {
  const bool sliced =
      std::any_of(slot.device_uuids().begin(), slot.device_uuids().end(),
                  [](const std::string& uuid) { return absl::StartsWith(uuid, "MIG-"); });
  if (sliced) return absl::StrJoin(slot.device_uuids(), ",");
  return absl::StrJoin(slot.device_indices(), ",");
}

RankLaunch RankOf(const Assignment& assignment, const LaunchContext& context,
                  const agent::v1::RankSlot& slot) {
  RankLaunch rank;
  rank.rank = slot.rank();
  rank.local_rank = slot.local_rank();
  rank.env["RANK"] = absl::StrCat(slot.rank());
  rank.env["WORLD_SIZE"] = absl::StrCat(std::max(1, assignment.world_size()));
  rank.env["LOCAL_RANK"] = absl::StrCat(slot.local_rank());
  rank.env["LOCAL_WORLD_SIZE"] = absl::StrCat(assignment.ranks_size());
  rank.env["CUDA_VISIBLE_DEVICES"] = VisibleDevices(slot);
  rank.env["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID";
  rank.env["CLOUD_ML_HP_METRIC_FILE"] =
      In(context, absl::StrCat(layout::kHypertune, "/",
                               slot.rank() == 0 ? std::string(kHypertuneRankZero)
                                                : absl::StrCat("rank-", slot.rank(), ".metrics")));
  const ClusterView cluster =
      ViewOf(assignment, context.master_address, MasterPort(assignment, context.master_port));
  rank.env["TF_CONFIG"] = TfConfig(assignment, cluster, slot);
  rank.env["CLUSTER_SPEC"] = ClusterSpec(assignment, cluster, slot);
  return rank;
}

absl::StatusOr<std::string> LauncherOf(const Assignment& assignment) {
  const bool gang = assignment.world_size() > 1;
  switch (assignment.launch().launcher()) {
    case v1::DIRECT:
      return "direct";
    case v1::MPIRUN:
      break;
    default:
      if (!gang) return "direct";
  }
  std::map<std::string, std::string> node_of;
  for (const agent::v1::Peer& peer : assignment.peers()) {
    if (assignment.peers_size() == 1) break;
    const auto [other, is_new] = node_of.emplace(peer.address(), peer.node_id());
    if (is_new && !peer.address().empty()) continue;
    return MakeError(
        absl::StatusCode::kInvalidArgument, "NOT_SUPPORTED",
        absl::StrCat("nodes ", other->second, " and ", peer.node_id(), " give the same address, \"",
                     peer.address(), "\", to reach them by"),
        "start each agent with its own --address, or set launcher: direct", "launch.launcher");
  }
  return "mpirun";
}

void FillGang(const Assignment& assignment, const LaunchContext& context, LaunchSpec* spec) {
  if (assignment.peers_size() < 2) return;
  for (const agent::v1::Peer& peer : assignment.peers()) {
    spec->gang.push_back(
        {peer.node_id(), peer.address(), {peer.ranks().begin(), peer.ranks().end()}});
  }
  spec->network_interface = context.interface;
  spec->port_range = context.port_range;
}

}  // namespace

std::string ParameterArgument(const v1::ParameterValue& parameter) {
  switch (parameter.value_case()) {
    case v1::ParameterValue::kInteger:
      return absl::StrCat("--", parameter.parameter_id(), "=", parameter.integer());
    case v1::ParameterValue::kNumber: {
      char text[64];
      const double number = parameter.number();
      // A whole number stays one for a program that wants int: "1e+05" is none.
      const bool whole = std::trunc(number) == number && std::fabs(number) < 1e15;
      const auto end = whole ? std::to_chars(text, text + sizeof text, std::llround(number)).ptr
                             : std::to_chars(text, text + sizeof text, number).ptr;
      return absl::StrCat("--", parameter.parameter_id(), "=",
                          absl::string_view(text, static_cast<size_t>(end - text)));
    }
    case v1::ParameterValue::kText:
    case v1::ParameterValue::VALUE_NOT_SET:
      break;
  }
  return absl::StrCat("--", parameter.parameter_id(), "=", parameter.text());
}

std::vector<std::string> AttemptFolders() {
  return {layout::kWork,   layout::kModel, layout::kCheckpoints, layout::kTensorboard,
          layout::kJobDir, layout::kLog,   layout::kHypertune};
}

absl::StatusOr<LaunchSpec> BuildLaunchSpec(const Assignment& assignment,
                                           const LaunchContext& context) {
  if (assignment.ranks().empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "MISSING_FIELD",
                     "the assignment has no rank", "", "ranks");
  }
  LaunchSpec spec;
  absl::StatusOr<std::string> launcher = LauncherOf(assignment);
  if (!launcher.ok()) return launcher.status();
  absl::StatusOr<std::vector<std::string>> argv = ArgvOf(assignment, context);
  if (!argv.ok()) return argv.status();
  spec.launcher = *std::move(launcher);
  spec.argv = *std::move(argv);
  spec.env = CommonEnvironment(assignment, context);
  spec.env["OMP_NUM_THREADS"] = absl::StrCat(ThreadsPerRank(assignment, context));
  std::string users_python_path;
  for (const auto& [name, value] : assignment.program().env()) {
    if (absl::Status fault = CheckUserVariable(name, value); !fault.ok()) return fault;
    if (name == "PYTHONPATH") {
      users_python_path = value;
    } else {
      spec.env[name] = value;
    }
  }
  spec.env["PYTHONPATH"] = PythonPath(context, users_python_path);
  for (const agent::v1::RankSlot& slot : assignment.ranks()) {
    spec.ranks.push_back(RankOf(assignment, context, slot));
    if (slot.rank() == 0) spec.metric_file = spec.ranks.back().env["CLOUD_ML_HP_METRIC_FILE"];
  }
  spec.world_size = std::max(1, assignment.world_size());
  spec.member = assignment.key().member();
  spec.node = context.node_id;
  spec.mpirun = context.mpirun;
  spec.open_mpi = context.open_mpi;
  spec.daemon = context.daemon;
  spec.rank_shim = absl::StrCat(context.bin_folder, "/trainyard-rank");
  FillGang(assignment, context, &spec);
  if (assignment.grace_ms() > 0) spec.grace_ms = assignment.grace_ms();
  spec.timeout_ms = assignment.timeout_ms();
  spec.lease_ms = assignment.strict_lease() ? context.lease_ms : assignment.stop_after_ms();
  spec.lease_grace_ms = assignment.strict_lease() ? context.lease_grace_ms : 0;
  if (assignment.pass_job_dir()) spec.job_dir_argument = JobDirArgument(context);
  for (const v1::ParameterValue& parameter : assignment.parameters()) {
    spec.parameters.push_back(parameter.parameter_id());
  }
  spec.user_id = context.user_id;
  spec.group_id = context.group_id;
  return spec;
}

}  // namespace trainyard::worker
