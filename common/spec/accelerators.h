// The peers' names of GPUs and machine types, as data. Pure and thread-safe.
#ifndef TRAINYARD_COMMON_SPEC_ACCELERATORS_H_
#define TRAINYARD_COMMON_SPEC_ACCELERATORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "trainyard/v1/spec.pb.h"

namespace trainyard::spec {

struct Accelerator {
  std::string name;          // NVIDIA_TESLA_T4
  std::string model;         // T4; empty: not supported
  int64_t memory_bytes = 0;  // at least, where one model comes with more or less; 0: any
};
const std::vector<Accelerator>& Accelerators();

// The accelerator that people type on a command line, "nvidia-tesla-t4" as well as NVIDIA_TESLA_T4.
// BAD_ENUM with the nearest name, NOT_SUPPORTED for TPUs.
absl::StatusOr<Accelerator> AcceleratorNamed(absl::string_view typed);

// Adds its model to those that are accepted, and what memory they must have.
void AskFor(const Accelerator& accelerator, v1::Resources* resources);

// The short name of a model that a driver names at length: "NVIDIA A100-SXM4-80GB" is A100, "Tesla
// T4" is T4. What it does not know stays without its maker's name.
std::string PlainModel(absl::string_view driver_name);

// Whether a machine type is one of the peers': n1-standard-8, a2-highgpu-4g, standard_gpu.
bool IsMachineType(absl::string_view name);

// GPUs that a machine type brings, 0 for one without and for types of nobody. -1: a TPU machine.
int GpusOfMachine(absl::string_view machine_type);

}  // namespace trainyard::spec

#endif  // TRAINYARD_COMMON_SPEC_ACCELERATORS_H_
