// See launch_spec.h.
#include "worker/core/launch_spec.h"

#include <nlohmann/json.hpp>

namespace trainyard::worker {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;

// A value that is no UTF-8 (a program's output, an environment variable) is carried with
// replacement characters rather than refused.
std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// Reads `name` if it is there; throws nlohmann's type error when it is of another type.
template <typename T>
void Read(const json& from, const char* name, T* to) {
  const auto found = from.find(name);
  if (found != from.end()) *to = found->get<T>();
}

json ObjectOf(const std::string& text) {
  json value = json::parse(text);
  if (!value.is_object()) throw json::other_error::create(501, "not an object", &value);
  int version = 0;
  Read(value, "version", &version);
  if (version != kVersion) {
    throw json::other_error::create(501, "version is not 1", &value);
  }
  return value;
}

GangNode GangNodeOf(const json& value) {
  if (!value.is_object()) throw json::other_error::create(501, "a node is no object", &value);
  GangNode node;
  Read(value, "node", &node.node);
  Read(value, "address", &node.address);
  Read(value, "ranks", &node.ranks);
  return node;
}

RankLaunch RankOf(const json& value) {
  if (!value.is_object()) throw json::other_error::create(501, "a rank is no object", &value);
  RankLaunch rank;
  Read(value, "rank", &rank.rank);
  Read(value, "local_rank", &rank.local_rank);
  Read(value, "env", &rank.env);
  return rank;
}

}  // namespace

std::string LaunchSpecToJson(const LaunchSpec& spec) {
  json ranks = json::array();
  for (const RankLaunch& rank : spec.ranks) {
    ranks.push_back({{"rank", rank.rank}, {"local_rank", rank.local_rank}, {"env", rank.env}});
  }
  json gang = json::array();
  for (const GangNode& node : spec.gang) {
    gang.push_back({{"node", node.node}, {"address", node.address}, {"ranks", node.ranks}});
  }
  return Dump({{"version", kVersion},
               {"launcher", spec.launcher},
               {"argv", spec.argv},
               {"env", spec.env},
               {"ranks", ranks},
               {"world_size", spec.world_size},
               {"member", spec.member},
               {"node", spec.node},
               {"mpirun", spec.mpirun},
               {"open_mpi", spec.open_mpi},
               {"daemon", spec.daemon},
               {"rank_shim", spec.rank_shim},
               {"network_interface", spec.network_interface},
               {"port_range", spec.port_range},
               {"gang", gang},
               {"grace_ms", spec.grace_ms},
               {"timeout_ms", spec.timeout_ms},
               {"lease_ms", spec.lease_ms},
               {"lease_grace_ms", spec.lease_grace_ms},
               {"job_dir_argument", spec.job_dir_argument},
               {"parameters", spec.parameters},
               {"metric_file", spec.metric_file},
               {"user_id", spec.user_id},
               {"group_id", spec.group_id}});
}

bool LaunchSpecFromJson(const std::string& text, LaunchSpec* spec, std::string* error) try {
  const json value = ObjectOf(text);
  *spec = LaunchSpec();
  Read(value, "launcher", &spec->launcher);
  Read(value, "argv", &spec->argv);
  Read(value, "env", &spec->env);
  Read(value, "world_size", &spec->world_size);
  Read(value, "member", &spec->member);
  Read(value, "node", &spec->node);
  Read(value, "mpirun", &spec->mpirun);
  Read(value, "open_mpi", &spec->open_mpi);
  Read(value, "daemon", &spec->daemon);
  Read(value, "port_range", &spec->port_range);
  Read(value, "rank_shim", &spec->rank_shim);
  Read(value, "network_interface", &spec->network_interface);
  Read(value, "grace_ms", &spec->grace_ms);
  Read(value, "timeout_ms", &spec->timeout_ms);
  Read(value, "lease_ms", &spec->lease_ms);
  Read(value, "lease_grace_ms", &spec->lease_grace_ms);
  Read(value, "job_dir_argument", &spec->job_dir_argument);
  Read(value, "parameters", &spec->parameters);
  Read(value, "metric_file", &spec->metric_file);
  Read(value, "user_id", &spec->user_id);
  Read(value, "group_id", &spec->group_id);
  if (value.contains("gang")) {
    for (const json& node : value.at("gang")) spec->gang.push_back(GangNodeOf(node));
  }
  if (value.contains("ranks")) {
    for (const json& rank : value.at("ranks")) spec->ranks.push_back(RankOf(rank));
  }
  if (spec->argv.empty() || spec->argv[0].empty()) {
    *error = "launch.json names no program (argv is empty)";
  } else if (spec->ranks.empty()) {
    *error = "launch.json has no rank";
  } else if (spec->launcher != "direct" && spec->launcher != "mpirun") {
    *error = "launch.json: launcher is \"" + spec->launcher + "\"; expected direct or mpirun";
  } else {
    return true;
  }
  return false;
} catch (const json::exception& fault) {
  *error = std::string("launch.json cannot be read: ") + fault.what();
  return false;
}

std::string ExitReportToJson(const ExitReport& report) {
  return Dump({{"version", kVersion},
               {"cause", report.cause},
               {"reason", report.reason},
               {"message", report.message},
               {"rank", report.rank},
               {"node", report.node},
               {"exit_code", report.exit_code},
               {"signal", report.signal},
               {"stderr_tail", report.stderr_tail},
               {"stop", report.stop},
               {"doubt", report.doubt},
               {"last_step", report.last_step},
               {"metrics_seen", report.metrics_seen},
               {"start_us", report.start_us},
               {"end_us", report.end_us}});
}

bool ExitReportFromJson(const std::string& text, ExitReport* report, std::string* error) try {
  const json value = ObjectOf(text);
  *report = ExitReport();
  Read(value, "cause", &report->cause);
  Read(value, "reason", &report->reason);
  Read(value, "message", &report->message);
  Read(value, "rank", &report->rank);
  Read(value, "node", &report->node);
  Read(value, "exit_code", &report->exit_code);
  Read(value, "signal", &report->signal);
  Read(value, "stderr_tail", &report->stderr_tail);
  Read(value, "stop", &report->stop);
  Read(value, "doubt", &report->doubt);
  Read(value, "last_step", &report->last_step);
  Read(value, "metrics_seen", &report->metrics_seen);
  Read(value, "start_us", &report->start_us);
  Read(value, "end_us", &report->end_us);
  return true;
} catch (const json::exception& fault) {
  *error = std::string("exit.json cannot be read: ") + fault.what();
  return false;
}

namespace layout {

std::string RankLog(int32_t rank, bool is_stderr) {
  return std::string(kLog) + "/rank-" + std::to_string(rank) + (is_stderr ? ".err" : ".out");
}
std::string RankTable(int32_t rank) {
  return std::string(kRankTables) + "/rank-" + std::to_string(rank) + ".env";
}

}  // namespace layout
}  // namespace trainyard::worker
