// GPUs, asked of NVIDIA's management library, which is loaded at run time: nothing of it is needed
// to build or to run without GPUs. Thread-safe.
#ifndef TRAINYARD_WORKER_AGENT_NVML_H_
#define TRAINYARD_WORKER_AGENT_NVML_H_

#include <string>
#include <vector>

#include "trainyard/v1/node.pb.h"

namespace trainyard::worker {

// Devices by index; none when `library` cannot be loaded or does not answer. Devices that share a
// fast link have the same link_island. A device that reports uncorrectable memory errors or cannot
// be asked is unhealthy, with the reason.
std::vector<v1::Device> ReadDevices(const std::string& library);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_NVML_H_
