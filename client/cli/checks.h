// What `trainyard doctor` looks at: this machine, the programs, the state folder, the scheduler and
// its nodes. Each check says what it found and, when something is wrong, the exact command that
// mends it. Reads only; one thread.
#ifndef TRAINYARD_CLIENT_CLI_CHECKS_H_
#define TRAINYARD_CLIENT_CLI_CHECKS_H_

#include <string>
#include <vector>

#include "client/cli/context.h"

namespace trainyard::cli {

enum class Health { kOk, kWarning, kFailure };

struct Check {
  std::string name;
  Health health = Health::kOk;
  std::string detail;
  std::string fix;  // "" when nothing is to be done
};

std::vector<Check> MachineChecks(const client::Environment& environment);
std::vector<Check> ProgramChecks(const client::Environment& environment,
                                 const std::string& binary_folder);
std::vector<Check> StateChecks(const client::Environment& environment);
std::vector<Check> ClusterChecks(Context* context);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_CHECKS_H_
