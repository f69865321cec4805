// See accelerators.h.
#include "common/spec/accelerators.h"

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/errors.h"

namespace trainyard::spec {
namespace {

constexpr int64_t kLargeA100Bytes = int64_t{70} << 30;  // the others have 40 GiB

// A word of a driver's name that says how a device is built, not what it is.
bool IsBuild(absl::string_view word) {
  if (absl::EndsWith(word, "GB") && absl::ascii_isdigit(word.front())) return true;
  for (const char* start : {"SXM", "PCI", "HBM", "NVL"}) {
    if (absl::StartsWith(word, start)) return true;
  }
  return word == "MIG" || word == "Blackwell" || word == "Server";
}

// "NVIDIA_TESLA_A100" -> "A100": what is left of a name without the maker and the family, which
// people leave out or mix up.
std::string Bare(absl::string_view name) {
  absl::ConsumePrefix(&name, "NVIDIA_");
  absl::ConsumePrefix(&name, "TESLA_");
  return std::string(name);
}

}  // namespace

const std::vector<Accelerator>& Accelerators() {
  static const std::vector<Accelerator>* const table = new std::vector<Accelerator>{
      {"NVIDIA_TESLA_K80", "K80"},
      {"NVIDIA_TESLA_P100", "P100"},
      {"NVIDIA_TESLA_V100", "V100"},
      {"NVIDIA_TESLA_P4", "P4"},
      {"NVIDIA_TESLA_T4", "T4"},
      {"NVIDIA_TESLA_A100", "A100"},
      {"NVIDIA_A100_80GB", "A100", kLargeA100Bytes},
      {"NVIDIA_L4", "L4"},
      {"NVIDIA_H100_80GB", "H100"},
      {"NVIDIA_H100_MEGA_80GB", "H100"},
      {"NVIDIA_H200_141GB", "H200"},
      {"NVIDIA_B200", "B200"},
      {"NVIDIA_GB200", "GB200"},
      {"NVIDIA_RTX_PRO_6000", "RTX PRO 6000"},
      {"TPU_V2", ""},
      {"TPU_V3", ""},
      {"TPU_V2_POD", ""},
      {"TPU_V3_POD", ""},
      {"TPU_V4_POD", ""},
      {"TPU_V5_LITEPOD", ""},
  };
  return *table;
}

std::string PlainModel(absl::string_view driver_name) {
  std::vector<absl::string_view> kept;
  for (absl::string_view word :
       absl::StrSplit(driver_name, absl::ByAnyChar(" -"), absl::SkipEmpty())) {
    const bool maker = word == "NVIDIA" || word == "Tesla" || word == "GeForce";
    if (maker && kept.empty()) continue;
    if (!kept.empty() && IsBuild(word)) break;
    kept.push_back(word);
  }
  return absl::StrJoin(kept, " ");
}

absl::StatusOr<Accelerator> AcceleratorNamed(absl::string_view typed) {
  const std::string wanted =
      absl::AsciiStrToUpper(absl::StrReplaceAll(typed, {{"-", "_"}, {" ", "_"}}));
  std::vector<std::string> names;
  for (const Accelerator& accelerator : Accelerators()) {
    if (accelerator.name == wanted && !accelerator.model.empty()) return accelerator;
    if (accelerator.name == wanted) {
      return MakeError(absl::StatusCode::kInvalidArgument, "NOT_SUPPORTED",
                       absl::StrCat("the accelerator ", wanted, " is not supported"),
                       "name a GPU, or leave the accelerator out");
    }
    if (accelerator.model.empty()) continue;
    if (Bare(accelerator.name) == Bare(wanted)) return accelerator;
    names.push_back(accelerator.name);
  }
  const std::string nearest = NearestName(wanted, names);
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_ENUM",
                   absl::StrCat("\"", typed, "\" is no accelerator"),
                   nearest.empty() ? absl::StrCat("one of: ", absl::StrJoin(names, ", "))
                                   : absl::StrCat("did you mean ", nearest, "?"));
}

void AskFor(const Accelerator& accelerator, v1::Resources* resources) {
  resources->add_gpu_models(accelerator.model);
  if (accelerator.memory_bytes > 0) resources->set_gpu_memory_bytes(accelerator.memory_bytes);
}

bool IsMachineType(absl::string_view name) {
  if (GpusOfMachine(name) != 0) return true;
  for (absl::string_view old :
       {"standard", "large_model", "complex_model_s", "complex_model_m", "complex_model_l"}) {
    if (name == old) return true;
  }
  // FAMILY-KIND-CORES: a letter or two, a digit, perhaps a letter; a kind; a number.
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '-');
  if (parts.size() < 2 || parts[0].size() < 2 || parts[0].size() > 4) return false;
  if (!absl::ascii_islower(static_cast<unsigned char>(parts[0][0])) ||
      !std::any_of(parts[0].begin(), parts[0].end(),
                   [](unsigned char c) { return absl::ascii_isdigit(c); })) {
    return false;
  }
  for (absl::string_view kind : {"micro", "small", "medium"}) {
    if (parts[1] == kind) return parts.size() == 2;
  }
  static const std::vector<absl::string_view>* const kinds = new std::vector<absl::string_view>{
      "standard", "highmem", "highcpu", "ultramem", "megamem", "hypermem", "custom"};
  int cores = 0;
  return std::find(kinds->begin(), kinds->end(), parts[1]) != kinds->end() && parts.size() >= 3 &&
         absl::SimpleAtoi(parts[2], &cores) && cores > 0;
}

int GpusOfMachine(absl::string_view machine_type) {
  static const std::map<std::string, int>* const named = new std::map<std::string, int>{
      {"standard_gpu", 1},     {"complex_model_m_gpu", 4},  {"complex_model_l_gpu", 8},
      {"standard_p100", 1},    {"complex_model_m_p100", 4}, {"standard_v100", 1},
      {"large_model_v100", 1}, {"complex_model_m_v100", 4}, {"complex_model_l_v100", 8},
      {"g2-standard-4", 1},    {"g2-standard-8", 1},        {"g2-standard-12", 1},
      {"g2-standard-16", 1},   {"g2-standard-32", 1},       {"g2-standard-24", 2},
      {"g2-standard-48", 4},   {"g2-standard-96", 8},       {"cloud_tpu", -1},
  };
  const auto it = named->find(std::string(machine_type));
  if (it != named->end()) return it->second;
  if (absl::StartsWith(machine_type, "ct") && absl::StrContains(machine_type, "-hightpu-")) {
    return -1;
  }
  // a2-highgpu-4g, a3-megagpu-8g: the number before the g.
  const std::vector<absl::string_view> parts = absl::StrSplit(machine_type, '-');
  int count = 0;
  if (parts.size() == 3 && absl::EndsWith(parts[1], "gpu") && absl::EndsWith(parts[2], "g") &&
      absl::SimpleAtoi(parts[2].substr(0, parts[2].size() - 1), &count) && count > 0 &&
      count <= 16) {
    return count;
  }
  return 0;
}

}  // namespace trainyard::spec
