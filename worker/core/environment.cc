// What a program inherits of the daemon's variables and what a spec may set; see launch_build.h.
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/variables.h"
#include "worker/core/launch_build.h"

namespace trainyard::worker {

Environment AllowedEnvironment(const std::vector<std::string>& variables) {
  Environment env;
  for (const std::string& text : variables) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || !IsInheritedVariable(text.substr(0, equals))) continue;
    env[text.substr(0, equals)] = text.substr(equals + 1);
  }
  env.try_emplace("PATH", "/usr/local/bin:/usr/bin:/bin");
  return env;
}

absl::Status CheckUserVariable(const std::string& name, const std::string& value) {
  const std::string field = absl::StrCat("program.env.", name);
  if (!IsVariableName(name)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                     absl::StrCat("\"", name, "\" is no name of an environment variable"),
                     "use letters, digits and '_', not beginning with a digit", "program.env");
  }
  if (UseOfVariable(name) == VariableUse::kOurs) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                     absl::StrCat("a job may not set ", name,
                                  ": it is set by Trainyard or changes what is loaded into it"),
                     absl::StrCat("remove ", name, " from env"), field);
  }
  if (value.find('\0') != std::string::npos || value.size() > (64 << 10)) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "BAD_VALUE",
        absl::StrCat("the value of ", name, " holds a zero byte or is longer than 64 KiB"),
        "put long values into a file of the package", field);
  }
  return absl::OkStatus();
}

}  // namespace trainyard::worker
