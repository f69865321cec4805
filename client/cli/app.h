// The program as a function: words in, exit code out. main.cc is this with the process's streams;
// tests call it with their own.
//
// Exit codes: 0 ok, 1 internal, 2 usage, 3 not found, 4 invalid spec or name, 5 denied,
// 6 unreachable, 7 timed out, 8 job failed, 9 no capacity. One thread.
#ifndef TRAINYARD_CLIENT_CLI_APP_H_
#define TRAINYARD_CLIENT_CLI_APP_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/console.h"
#include "client/sdk/endpoint.h"

namespace trainyard::cli {

int ExitCodeOf(const absl::Status& status);

// `words`: argv without the program's name. `binary_folder`: where the daemons lie.
int RunCli(const std::vector<std::string>& words, Console* console,
           const client::Environment& environment, const std::string& binary_folder);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_APP_H_
