// What this machine is: cores, memory, names, GPUs. Read once at the start and again when asked.
// Thread-safe.
#ifndef TRAINYARD_WORKER_AGENT_MACHINE_H_
#define TRAINYARD_WORKER_AGENT_MACHINE_H_

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "trainyard/v1/node.pb.h"

namespace trainyard::worker {

struct MachineOptions {
  std::string node_id;       // "" : the host's name
  int32_t cores = 0;         // 0: as many as this process may use
  int64_t memory_bytes = 0;  // 0: the machine's, or the control group's limit when lower
  std::string address;       // "" : the host's name
  std::map<std::string, std::string> labels;
  std::vector<std::string> taints;  // "key" or "key=value"
  absl::Time available_until = absl::InfiniteFuture();
  std::string nvml_library = "libnvidia-ml.so.1";  // "" : no GPUs are looked for
};

// Never fails: what cannot be read is left at zero or empty, GPUs that cannot be asked are absent.
v1::NodeInventory ReadInventory(const MachineOptions& options);

std::string BootId();

// "16GiB", "512M", "1000000": bytes; 0 when it is no size.
int64_t ParseBytes(const std::string& text);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_MACHINE_H_
