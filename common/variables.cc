// See variables.h.
#include "common/variables.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace trainyard {
namespace {

constexpr absl::string_view kOurPrefixes[] = {"LD_",  "OMPI_", "OPAL_",      "ORTE_",     "PMIX_",
                                              "PMI_", "PRTE_", "TRAINYARD_", "CLOUD_ML_", "AIP_"};
// Settings of worker/training that a spec may make.
constexpr absl::string_view kOurSettings[] = {"TRAINYARD_COMMUNICATOR", "TRAINYARD_DIRECT",
                                              "TRAINYARD_HANG_TIMEOUT", "TRAINYARD_TIMELINE"};
constexpr absl::string_view kOurs[] = {
    "RANK",        "WORLD_SIZE", "LOCAL_RANK",           "LOCAL_WORLD_SIZE",  "MASTER_ADDR",
    "MASTER_PORT", "TF_CONFIG",  "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CLUSTER_SPEC"};

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

VariableUse UseOfVariable(absl::string_view name) {
  if (Contains(kOurSettings, name)) return VariableUse::kFree;
  if (HasPrefix(kOurPrefixes, name) || Contains(kOurs, name)) return VariableUse::kOurs;
  if (name == "PATH") return VariableUse::kAdministrators;
  return VariableUse::kFree;
}

bool IsInheritedVariable(absl::string_view name) {
  if (name == "CUDA_VISIBLE_DEVICES" || name == "CUDA_DEVICE_ORDER") return false;
  return HasPrefix(kInheritedPrefixes, name) || Contains(kInherited, name);
}

bool IsVariableName(absl::string_view name) {
  if (name.empty() || name.size() > 256) return false;
  if (absl::ascii_isdigit(static_cast<unsigned char>(name[0]))) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
  });
}

}  // namespace trainyard
