// trainyard-sim: what the scheduler would do, on a virtual clock.
//   trainyard-sim replay --trace FILE.csv --nodes N --gpus-per-node G --policy P [...]
//   trainyard-sim run --seed N [--hours H] [--agents A] [--faults all|NAME,...]
//                     [--guard-off NAME] [--json FILE]
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/errors.h"
#include "common/file.h"
#include "scheduler/placement/policy.h"
#include "sim/replay/replay.h"
#include "sim/replay/trace.h"
#include "sim/run/command.h"

namespace trainyard {
namespace {

struct ReplayCommand {
  std::string trace;
  std::string dump;
  std::string json;
  bool count = false;
  replay::Options options;
};

int Fail(const absl::Status& status) {
  fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  return status.code() == absl::StatusCode::kInvalidArgument ? 4 : 1;
}

void Declare(CLI::App* app, ReplayCommand* command) {
  app->add_option("--trace", command->trace,
                  "CSV: job_id,submit_time,num_gpus,duration[,vc][,study]")
      ->required();
  app->add_option("--nodes", command->options.nodes, "Nodes")->required();
  app->add_option("--gpus-per-node", command->options.gpus_per_node, "GPUs of a node");
  app->add_option("--policy", command->options.policy,
                  absl::StrCat("One of ", absl::StrJoin(replay::PolicyNames(), ", ")));
  app->add_option("--restart-cost", command->options.restart_cost,
                  "Seconds without progress at every start but the first");
  app->add_option("--las-threshold", command->options.las_threshold,
                  "GPU-seconds in the first level of las");
  app->add_option("--las-exponent", command->options.las_gpu_exponent,
                  "The threshold is multiplied by GPUs to this power");
  app->add_option_function<std::vector<std::string>>(
      "--set",
      [command](const std::vector<std::string>& settings) {
        for (const std::string& setting : settings) {
          const std::vector<std::string> parts = absl::StrSplit(setting, absl::MaxSplits('=', 1));
          double value = 0;
          if (parts.size() != 2 || !absl::SimpleAtod(parts[1], &value)) {
            throw CLI::ValidationError("--set", "write NAME=NUMBER, not " + setting);
          }
          command->options.parameters[parts[0]] = value;
        }
      },
      absl::StrCat("NAME=NUMBER of the planner's policy: ",
                   absl::StrJoin(placement::ParameterNames(), ", ")));
  app->add_flag("--planner", command->options.planner,
                "By the scheduler's planner, also where there is an exact reference of the name");
  app->add_option("--limit-factor", command->options.limit_factor,
                  "The planner is told time limits: so many times the run time");
  app->add_flag("--estimates", command->options.estimates,
                "Planner: estimate every start, count how many fall into their 80 % band");
  app->add_flag("--pack,!--no-pack", command->options.pack, "Place inside nodes (the default)");
  app->add_flag("--count", command->count, "One pool without fragmentation");
  app->add_option("--dump", command->dump, "Writes job_id,first_start,end,preemptions there");
  app->add_option("--json", command->json, "Writes the figures there");
}

nlohmann::json JsonOf(const replay::Summary& s, double wall) {
  return {{"averageJct", s.average_jct},
          {"p50", s.p50},
          {"p90", s.p90},
          {"p99", s.p99},
          {"makespan", s.makespan},
          {"averageWait", s.average_wait},
          {"multiNodeWait", s.multi_node_wait},
          {"worstWait", s.worst_wait},
          {"utilisation", s.utilisation},
          {"preemptions", s.preemptions},
          {"passes", s.passes},
          {"estimates", s.estimates},
          {"estimatesMet", s.estimates_met},
          {"estimatesTold", s.estimates_told},
          {"toldMet", s.told_met},
          {"wallSeconds", wall}};
}

void Print(const ReplayCommand& command, size_t jobs, const replay::Summary& s, double wall) {
  printf("%-10s %12s %10s %10s %10s %10s %12s %12s %10s %6s %9s %7s\n", "policy", "average_jct",
         "p50", "p90", "p99", "makespan", "average_wait", "multi_wait", "worst_wait", "util",
         "preempted", "wall_s");
  printf("%-10s %12.0f %10.0f %10.0f %10.0f %10lld %12.0f %12.0f %10lld %6.3f %9lld %7.2f\n",
         command.options.policy.c_str(), s.average_jct, s.p50, s.p90, s.p99,
         static_cast<long long>(s.makespan), s.average_wait, s.multi_node_wait,
         static_cast<long long>(s.worst_wait), s.utilisation, static_cast<long long>(s.preemptions),
         wall);
  if (s.estimates > 0) {
    printf("%lld of %lld estimated starts within their 80 %% band (%.1f %%)\n",
           static_cast<long long>(s.estimates_met), static_cast<long long>(s.estimates),
           100 * static_cast<double>(s.estimates_met) / static_cast<double>(s.estimates));
    printf("%lld of them rest on something learned and would be told, %lld of those within\n",
           static_cast<long long>(s.estimates_told), static_cast<long long>(s.told_met));
  }
  printf("%zu jobs, %d nodes x %d GPUs, restart cost %lld s; times in seconds\n", jobs,
         command.options.nodes, command.options.gpus_per_node,
         static_cast<long long>(command.options.restart_cost));
}

absl::Status Dump(const std::string& path, const std::vector<replay::TraceJob>& trace,
                  const replay::Outcome& outcome) {
  std::string text = "job_id,first_start,end,preemptions\n";
  for (size_t row = 0; row < trace.size(); ++row) {
    const replay::JobResult& job = outcome.jobs[row];
    absl::StrAppend(&text, trace[row].id, ",", job.first_start, ",", job.end, ",", job.preemptions,
                    "\n");
  }
  return WriteFileAtomically(path, text);
}

int RunReplay(ReplayCommand command) {
  if (command.count) command.options.pack = false;
  const auto trace = replay::ReadTrace(command.trace);
  if (!trace.ok()) return Fail(trace.status());
  const auto begin = std::chrono::steady_clock::now();
  const auto outcome = replay::Replay(*trace, command.options);
  if (!outcome.ok()) return Fail(outcome.status());
  const double wall =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  Print(command, trace->size(), outcome->summary, wall);
  absl::Status status;
  if (!command.dump.empty()) status = Dump(command.dump, *trace, *outcome);
  if (status.ok() && !command.json.empty()) {
    status = WriteFileAtomically(command.json, JsonOf(outcome->summary, wall).dump(1) + "\n");
  }
  return status.ok() ? 0 : Fail(status);
}

int Main(int argc, char** argv) {
  CLI::App app("What the scheduler would do, on a virtual clock.", "trainyard-sim");
  app.require_subcommand(1);
  ReplayCommand replay_command;
  CLI::App* const replay_app = app.add_subcommand("replay", "Replays a trace under a policy");
  Declare(replay_app, &replay_command);
  sim::RunCommand run_command;
  CLI::App* const run_app =
      app.add_subcommand("run", "Plays a cluster under faults and checks what must hold");
  sim::DeclareRun(run_app, &run_command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return error.get_exit_code() == 0 ? app.exit(error) : (app.exit(error), 2);
  }
  return run_app->parsed() ? sim::Run(run_command) : RunReplay(replay_command);
}

}  // namespace
}  // namespace trainyard

int main(int argc, char** argv) { return trainyard::Main(argc, argv); }
