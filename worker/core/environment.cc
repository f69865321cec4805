// See environment.h and launch_build.h.
#include "worker/core/environment.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/variables.h"
#include "worker/core/launch_build.h"

namespace trainyard::worker {
namespace {

constexpr absl::string_view kInheritedPrefixes[] = {"LC_",  "CUDA_",  "NVIDIA_",   "NCCL_",
                                                    "MKL_", "CONDA_", "OPENBLAS_", "PYENV_"};
constexpr absl::string_view kInherited[] = {"PATH",
                                            "HOME",
                                            "USER",
                                            "LOGNAME",
                                            "SHELL",
                                            "LANG",
                                            "TZ",
                                            "TMPDIR",
                                            "TERM",
                                            "LD_LIBRARY_PATH",
                                            "VIRTUAL_ENV",
                                            "XDG_CACHE_HOME",
                                            "XDG_DATA_HOME",
                                            "XDG_RUNTIME_DIR",
                                            "SSL_CERT_FILE",
                                            "SSL_CERT_DIR",
                                            "REQUESTS_CA_BUNDLE",
                                            "CURL_CA_BUNDLE",
                                            "HTTP_PROXY",
                                            "HTTPS_PROXY",
                                            "NO_PROXY",
                                            "http_proxy",
                                            "https_proxy",
                                            "no_proxy"};

template <size_t N>
bool Contains(const absl::string_view (&names)[N], absl::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}
template <size_t N>
bool HasPrefix(const absl::string_view (&prefixes)[N], absl::string_view name) {
  return std::any_of(std::begin(prefixes), std::end(prefixes),
                     [name](absl::string_view prefix) { return absl::StartsWith(name, prefix); });
}

}  // namespace

bool IsInheritedVariable(absl::string_view name) {
  if (name == "CUDA_VISIBLE_DEVICES" || name == "CUDA_DEVICE_ORDER") return false;
  return HasPrefix(kInheritedPrefixes, name) || Contains(kInherited, name);
}

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
