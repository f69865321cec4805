// The trainyard program. It ends with _exit once everything is written: nothing it holds needs an
// orderly end, and taking gRPC down would cost more than the command itself.
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "client/cli/app.h"
#include "common/file.h"

int main(int argc, char** argv) {
  // gRPC's own lines say nothing that our errors do not; who wants them sets the variable.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  const trainyard::client::Environment environment = trainyard::client::ProcessEnvironment();
  trainyard::cli::ProcessConsole console(environment);
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  const int code =
      trainyard::cli::RunCli(words, &console, environment, trainyard::ExecutableFolder());
  console.Flush();
  _exit(code);
}
