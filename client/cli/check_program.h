// Whether the program of a job can be there when its node starts it: asked before anything is sent,
// so that nobody waits for a place to learn of a wrong path. One thread.
#ifndef TRAINYARD_CLIENT_CLI_CHECK_PROGRAM_H_
#define TRAINYARD_CLIENT_CLI_CHECK_PROGRAM_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/cli/submit.h"

namespace trainyard::cli {

// Whether a program of that name or path runs scripts: python3, bash, Rscript, ...
bool IsInterpreter(absl::string_view program);
// The interpreter that a file of that name is written for, "" when its name does not tell.
std::string InterpreterOf(absl::string_view file);

inline constexpr size_t kNoScript = static_cast<size_t>(-1);
// Which of an interpreter's arguments is its script; kNoScript when it is told otherwise what to
// run (-c, -m) or nothing at all.
size_t ScriptAmong(absl::string_view interpreter, const std::vector<std::string>& arguments);

// First executable of that name on PATH, "" when there is none.
std::string FindOnPath(const std::string& name, const client::Environment& environment);

// A module that comes in no package, and a relative path that no package has: INVALID_ARGUMENT with
// the field that named it. `package_advice` says how packages are named. Offline.
absl::Status CheckBrought(const Submission& submission, absl::string_view package_advice);

// CheckBrought and, where the cluster is this machine alone, whether the program is on it.
absl::Status CheckRunnable(Context* context, const Submission& submission,
                           absl::string_view package_advice);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_CHECK_PROGRAM_H_
