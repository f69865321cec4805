// Runs the node's own pip, without an index: what a package's setup.py or build system does is the
// job's code and runs as the job's user, and nothing of it outlives the installation
// (worker/supervisor/keeper.h). Blocking; any thread that lives as long as the call.
#ifndef TRAINYARD_WORKER_AGENT_PIP_H_
#define TRAINYARD_WORKER_AGENT_PIP_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "worker/core/launch_spec.h"

namespace trainyard::worker {

struct PipOptions {
  std::string keeper;                       // path of trainyard-supervisor
  std::string python = "/usr/bin/python3";  // whose pip; also a bare name, found on env's PATH
  Environment env;
  int64_t user_id = -1;  // -1: as we are
  int64_t group_id = -1;
  std::function<bool()> give_up = [] { return false; };  // asked now and then
};

// Installs `source` (a folder with setup.py or pyproject.toml, or a wheel) and nothing it depends
// on into `target` (a folder). `log`: a file of ours for the last of pip's words. PACKAGE_INVALID
// with pip's last lines when it fails, with what to install on the node when that is what fails it;
// DEADLINE_EXCEEDED when given up.
absl::Status PipInstall(const std::string& source, const std::string& target,
                        const std::string& log, const PipOptions& options);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_PIP_H_
