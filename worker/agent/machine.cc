// See machine.h.
#include "worker/agent/machine.h"

#include <sched.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "worker/agent/nvml.h"

namespace trainyard::worker {
namespace {

constexpr char kVersion[] = "0.1.0";

int64_t NumberIn(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  int64_t number = 0;
  if (!text.ok() || !absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &number)) return 0;
  return number;
}

// The unified control group's CPU limit in cores, 0 when there is none.
int32_t GroupCores() {
  const absl::StatusOr<std::string> text = ReadFile("/sys/fs/cgroup/cpu.max");
  if (!text.ok()) return 0;
  const std::vector<std::string> words = absl::StrSplit(*text, absl::ByAnyChar(" \n"));
  double quota = 0;
  double period = 0;
  if (words.size() < 2 || !absl::SimpleAtod(words[0], &quota) ||
      !absl::SimpleAtod(words[1], &period) || period <= 0) {
    return 0;
  }
  return std::max(1, static_cast<int32_t>(std::floor(quota / period)));
}

int32_t Cores() {
  cpu_set_t set;
  int32_t cores = sched_getaffinity(0, sizeof set, &set) == 0
                      ? CPU_COUNT(&set)
                      : static_cast<int32_t>(sysconf(_SC_NPROCESSORS_ONLN));
  if (const int32_t limit = GroupCores(); limit > 0) cores = std::min(cores, limit);
  return std::max(1, cores);
}

int64_t Memory() {
  struct sysinfo info {};
  int64_t bytes = 0;
  if (sysinfo(&info) == 0) bytes = static_cast<int64_t>(info.totalram) * info.mem_unit;
  for (const char* limit :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    if (const int64_t found = NumberIn(limit); found > 0) bytes = std::min(bytes, found);
  }
  return bytes;
}

}  // namespace

std::string BootId() {
  const absl::StatusOr<std::string> text = ReadFile("/proc/sys/kernel/random/boot_id");
  return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "";
}

int64_t ParseBytes(const std::string& text) {
  size_t digits = 0;
  while (digits < text.size() && (absl::ascii_isdigit(text[digits]) || text[digits] == '.')) {
    ++digits;
  }
  double number = 0;
  if (!absl::SimpleAtod(text.substr(0, digits), &number) || number < 0) return 0;
  const std::string unit = absl::AsciiStrToUpper(text.substr(digits));
  static constexpr absl::string_view kUnits = "KMGT";
  double factor = 1;
  if (!unit.empty() && unit != "B") {
    const size_t power = kUnits.find(unit[0]);
    const std::string rest = unit.substr(1);
    if (power == absl::string_view::npos || (!rest.empty() && rest != "B" && rest != "IB")) {
      return 0;
    }
    factor = std::pow(1024.0, static_cast<double>(power + 1));
  }
  const double bytes = number * factor;
  return bytes < 9e18 ? static_cast<int64_t>(bytes) : 0;
}

v1::NodeInventory ReadInventory(const MachineOptions& options) {
  v1::NodeInventory inventory;
  utsname name{};
  uname(&name);
  inventory.set_hostname(name.nodename);
  inventory.set_node_id(options.node_id.empty() ? name.nodename : options.node_id);
  inventory.set_boot_id(BootId());
  inventory.set_cores(options.cores > 0 ? options.cores : Cores());
  inventory.set_memory_bytes(options.memory_bytes > 0 ? options.memory_bytes : Memory());
  inventory.set_address(options.address.empty() ? name.nodename : options.address);
  inventory.set_os(absl::StrCat(name.sysname, " ", name.release));
  inventory.set_agent_version(kVersion);
  for (const auto& [key, value] : options.labels) (*inventory.mutable_labels())[key] = value;
  for (const std::string& taint : options.taints) inventory.add_taints(taint);
  if (options.available_until < absl::InfiniteFuture()) {
    inventory.mutable_available_until()->set_seconds(absl::ToUnixSeconds(options.available_until));
  }
  for (const char* capability :
       {"launcher.direct", "launcher.mpirun", "launcher.daemon", "soft_stop"}) {
    inventory.add_capabilities(capability);
  }
  if (!options.nvml_library.empty()) {
    for (v1::Device& device : ReadDevices(options.nvml_library)) {
      *inventory.add_devices() = std::move(device);
    }
  }
  return inventory;
}

}  // namespace trainyard::worker
