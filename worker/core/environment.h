// Which variables a program inherits and which a spec may set. Declared in launch_build.h
// (AllowedEnvironment, CheckUserVariable); this header is for their helpers. Pure; thread-safe.
#ifndef TRAINYARD_WORKER_CORE_ENVIRONMENT_H_
#define TRAINYARD_WORKER_CORE_ENVIRONMENT_H_

#include "absl/strings/string_view.h"

namespace trainyard::worker {

// Names of the daemon's own environment that programs inherit.
bool IsInheritedVariable(absl::string_view name);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_CORE_ENVIRONMENT_H_
