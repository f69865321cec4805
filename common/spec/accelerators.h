// The peers' names of GPUs and machine types, as data. Pure and thread-safe.
#ifndef TRAINYARD_COMMON_SPEC_ACCELERATORS_H_
#define TRAINYARD_COMMON_SPEC_ACCELERATORS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace trainyard::spec {

struct Accelerator {
  std::string name;   // NVIDIA_TESLA_T4
  std::string model;  // T4; empty: not supported
};
const std::vector<Accelerator>& Accelerators();

// The model of an accelerator as people type it on a command line, "nvidia-tesla-t4" as well as
// NVIDIA_TESLA_T4. BAD_ENUM with the nearest name, NOT_SUPPORTED for TPUs.
absl::StatusOr<std::string> ModelOfAccelerator(absl::string_view typed);

// Whether a machine type is one of the peers': n1-standard-8, a2-highgpu-4g, standard_gpu.
bool IsMachineType(absl::string_view name);

// GPUs that a machine type brings, 0 for one without and for types of nobody. -1: a TPU machine.
int GpusOfMachine(absl::string_view machine_type);

}  // namespace trainyard::spec

#endif  // TRAINYARD_COMMON_SPEC_ACCELERATORS_H_
