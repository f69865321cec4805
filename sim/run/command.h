// `trainyard-sim run`: plays one seed and prints what happened.
#ifndef TRAINYARD_SIM_RUN_COMMAND_H_
#define TRAINYARD_SIM_RUN_COMMAND_H_

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

namespace trainyard::sim {

struct RunCommand {
  uint64_t seed = 1;
  double hours = 1;
  int agents = 8;
  std::string faults = "all";
  std::string guard_off;
  std::string json;
};

void DeclareRun(CLI::App* app, RunCommand* command);
// Exit status: 0, 1 on a violation, 4 for a name that does not exist.
int Run(const RunCommand& command);

}  // namespace trainyard::sim

#endif  // TRAINYARD_SIM_RUN_COMMAND_H_
