// Which environment variables a job may set and which it inherits. Specs are checked with it at
// submit, launches again on the node. Pure; thread-safe.
#ifndef TRAINYARD_COMMON_VARIABLES_H_
#define TRAINYARD_COMMON_VARIABLES_H_

#include "absl/strings/string_view.h"

namespace trainyard {

enum class VariableUse {
  kFree,
  kAdministrators,  // PATH: it changes which programs a name means
  kOurs,            // Trainyard sets it (RANK, CLOUD_ML_*, ...), or it changes what is loaded into
                    // its own programs and how ranks are started (LD_*, OMPI_*, ...)
};
VariableUse UseOfVariable(absl::string_view name);

// Names of a daemon's own environment that the programs it starts inherit: folders, languages,
// proxies, and settings of CUDA and NCCL, but not which devices are seen.
bool IsInheritedVariable(absl::string_view name);

// Letters, digits and '_', not beginning with a digit, at most 256 bytes.
bool IsVariableName(absl::string_view name);

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_VARIABLES_H_
