// See command.h.
#include "sim/run/command.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "sim/run/world.h"

namespace trainyard::sim {
namespace {

bool Parse(const RunCommand& command, Options* options) {
  options->seed = command.seed;
  options->hours = command.hours;
  options->agents = command.agents;
  for (absl::string_view name : absl::StrSplit(command.faults, ',', absl::SkipEmpty())) {
    if (name == "all") {
      for (int i = 0; i < kFaults; ++i) options->faults.insert(static_cast<Fault>(i));
      continue;
    }
    if (name == "none") continue;
    const std::optional<Fault> fault = FaultNamed(name);
    if (!fault.has_value()) {
      fprintf(stderr, "error: there is no fault \"%s\"; give all, none, or some of %s\n",
              std::string(name).c_str(), FaultNames().c_str());
      return false;
    }
    options->faults.insert(*fault);
  }
  if (command.guard_off.empty()) return true;
  options->guard_off = GuardNamed(command.guard_off);
  if (options->guard_off.has_value()) return true;
  fprintf(stderr, "error: there is no guard \"%s\"; give one of %s\n", command.guard_off.c_str(),
          GuardNames().c_str());
  return false;
}

// Seconds that this process has computed: the pace of one core, whoever else uses the machine.
double CpuSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

nlohmann::json JsonOf(const Report& report, double cpu) {
  nlohmann::json json = {
      {"seed", report.seed},
      {"simulatedHours", report.simulated_hours},
      {"events", report.events},
      {"eventsByKind", report.events_by_kind},
      {"faults", report.faults},
      {"answers", report.answers},
      {"submits", report.submits},
      {"publications", report.publications},
      {"stalePublicationsRefused", report.stale_publications_refused},
      {"recoveries", report.recoveries},
      {"stateHash", report.state_hash},
      {"historyHash", report.history_hash},
      {"cpuSeconds", cpu},
      {"eventsPerSecond", cpu > 0 ? static_cast<double>(report.events) / cpu : 0}};
  for (const auto& [name, count] : report.points) {
    json["faultPoints"][name] = {{"passed", count.first}, {"died", count.second}};
  }
  if (report.violation.has_value()) {
    json["violation"] = {{"what", report.violation->what},
                         {"atSeconds", static_cast<double>(report.violation->time_us) / 1e6},
                         {"lastEvents", report.last_events}};
  }
  return json;
}

template <class Counts>
std::string Line(const Counts& counts) {
  std::string line;
  for (const auto& [name, count] : counts) {
    absl::StrAppend(&line, line.empty() ? "" : "  ", name, " ", count);
  }
  return line.empty() ? "none" : line;
}

void Print(const Report& report, double cpu) {
  printf("events        %llu in %.2f s of one core: %.0f a second (%.2f simulated hours)\n",
         static_cast<unsigned long long>(report.events), cpu,
         static_cast<double>(report.events) / cpu, report.simulated_hours);
  printf("              %s\n", Line(report.events_by_kind).c_str());
  printf("faults        %s\n", Line(report.faults).c_str());
  std::string points;
  for (const auto& [name, count] : report.points) {
    absl::StrAppend(&points, points.empty() ? "" : "  ", name, " ", count.second, "/", count.first);
  }
  printf("fault points  %s\n", points.empty() ? "none" : points.c_str());
  printf("answers       %s\n", Line(report.answers).c_str());
  printf("jobs          %llu acknowledged, %llu recoveries of the scheduler\n",
         static_cast<unsigned long long>(report.submits),
         static_cast<unsigned long long>(report.recoveries));
  printf("publications  %llu, stale ones refused %llu\n",
         static_cast<unsigned long long>(report.publications),
         static_cast<unsigned long long>(report.stale_publications_refused));
  printf("state         %s\n", report.state_hash.c_str());
  printf("history       %s\n", report.history_hash.c_str());
  if (!report.violation.has_value()) return;
  printf("\nVIOLATION at %.6f s: %s\n", static_cast<double>(report.violation->time_us) / 1e6,
         report.violation->what.c_str());
  printf("The last events before it:\n");
  for (const std::string& line : report.last_events) printf("  %s\n", line.c_str());
}

}  // namespace

void DeclareRun(CLI::App* app, RunCommand* command) {
  app->add_option("--seed", command->seed, "One seed is one history")->required();
  app->add_option("--hours", command->hours, "Simulated hours with faults")
      ->check(CLI::PositiveNumber);
  app->add_option("--agents", command->agents, "Nodes, of 8 cores and 4 GPUs")
      ->check(CLI::Range(1, 1000));
  app->add_option("--faults", command->faults,
                  absl::StrCat("all, none, or NAME,... of ", FaultNames()));
  app->add_option("--guard-off", command->guard_off,
                  absl::StrCat("Takes one guard away: ", GuardNames()));
  app->add_option("--json", command->json, "Writes the figures there");
}

int Run(const RunCommand& command) {
  printf("seed          %llu\n", static_cast<unsigned long long>(command.seed));
  fflush(stdout);
  Options options;
  if (!Parse(command, &options)) return 4;
  const double begin = CpuSeconds();
  const Report report = Play(options);
  const double cpu = std::max(CpuSeconds() - begin, 1e-6);
  Print(report, cpu);
  if (!command.json.empty()) {
    const absl::Status written =
        WriteFileAtomically(command.json, JsonOf(report, cpu).dump(1) + "\n");
    if (!written.ok()) {
      fprintf(stderr, "error: %s\n", std::string(written.message()).c_str());
      return 1;
    }
  }
  return report.violation.has_value() ? 1 : 0;
}

}  // namespace trainyard::sim
