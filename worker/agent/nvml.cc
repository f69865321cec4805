// See nvml.h. The prototypes below are our own, after the public documentation of NVML's stable
// C interface; only what is called is declared.
#include "worker/agent/nvml.h"

#include <dlfcn.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/spec/accelerators.h"

namespace trainyard::worker {
namespace {

using Handle = void*;
constexpr int kOk = 0;
constexpr unsigned kTextBytes = 96;
constexpr unsigned kUncorrected = 1;      // memory error type
constexpr unsigned kVolatileCounter = 0;  // since the driver was loaded
constexpr unsigned kLinksMax = 18;

struct MemoryInfo {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};
struct PciInfo {
  char bus_id_legacy[16];
  unsigned domain;
  unsigned bus;
  unsigned device;
  unsigned pci_device_id;
  unsigned pci_subsystem_id;
  char bus_id[32];
};

// The loaded library with the functions used; each may be null in an old version but the first
// five.
struct Nvml {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*by_index)(unsigned, Handle*) = nullptr;
  int (*uuid)(Handle, char*, unsigned) = nullptr;
  int (*name)(Handle, char*, unsigned) = nullptr;
  int (*memory)(Handle, MemoryInfo*) = nullptr;
  int (*pci)(Handle, PciInfo*) = nullptr;
  int (*ecc_errors)(Handle, unsigned, unsigned, unsigned long long*) = nullptr;
  int (*link_state)(Handle, unsigned, unsigned*) = nullptr;
  int (*slices_max)(Handle, unsigned*) = nullptr;
  int (*slice)(Handle, unsigned, Handle*) = nullptr;
};

template <typename Function>
void Find(void* library, const char* name, Function* to) {
  *to = reinterpret_cast<Function>(dlsym(library, name));
}

bool Load(void* library, Nvml* nvml) {
  Find(library, "nvmlInit_v2", &nvml->init);
  Find(library, "nvmlShutdown", &nvml->shutdown);
  Find(library, "nvmlDeviceGetCount_v2", &nvml->count);
  Find(library, "nvmlDeviceGetHandleByIndex_v2", &nvml->by_index);
  Find(library, "nvmlDeviceGetUUID", &nvml->uuid);
  Find(library, "nvmlDeviceGetName", &nvml->name);
  Find(library, "nvmlDeviceGetMemoryInfo", &nvml->memory);
  Find(library, "nvmlDeviceGetPciInfo_v3", &nvml->pci);
  Find(library, "nvmlDeviceGetTotalEccErrors", &nvml->ecc_errors);
  Find(library, "nvmlDeviceGetNvLinkState", &nvml->link_state);
  Find(library, "nvmlDeviceGetMaxMigDeviceCount", &nvml->slices_max);
  Find(library, "nvmlDeviceGetMigDeviceHandleByIndex", &nvml->slice);
  return nvml->init && nvml->shutdown && nvml->count && nvml->by_index && nvml->uuid;
}

int NumaNode(const Nvml& nvml, Handle handle) {
  PciInfo pci{};
  if (nvml.pci == nullptr || nvml.pci(handle, &pci) != kOk) return -1;
  // The kernel writes four digits of the domain, the library eight.
  char address[32];
  snprintf(address, sizeof address, "%04x:%02x:%02x.0", pci.domain, pci.bus, pci.device);
  std::ifstream file(absl::StrCat("/sys/bus/pci/devices/", address, "/numa_node"));
  int node = -1;
  file >> node;
  return node;
}

bool HasLinks(const Nvml& nvml, Handle handle) {
  for (unsigned link = 0; nvml.link_state != nullptr && link < kLinksMax; ++link) {
    unsigned active = 0;
    if (nvml.link_state(handle, link, &active) == kOk && active != 0) return true;
  }
  return false;
}

// Names, memory. A slice is called as its device, then " MIG " and its profile.
void Describe(const Nvml& nvml, Handle handle, v1::Device* device) {
  char text[kTextBytes] = {};
  if (nvml.uuid(handle, text, kTextBytes) == kOk) device->set_uuid(text);
  if (nvml.name != nullptr && nvml.name(handle, text, kTextBytes) == kOk) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(text, absl::MaxSplits(" MIG ", 1));
    device->set_full_model(parts.first);
    device->set_model(spec::PlainModel(parts.first));
    device->set_profile(parts.second);
  }
  MemoryInfo memory{};
  if (nvml.memory != nullptr && nvml.memory(handle, &memory) == kOk) {
    device->set_memory_bytes(static_cast<int64_t>(memory.total));
  }
}

v1::Device DeviceOf(const Nvml& nvml, unsigned index) {
  v1::Device device;
  device.set_index(static_cast<int32_t>(index));
  device.set_healthy(true);
  Handle handle = nullptr;
  if (nvml.by_index(index, &handle) != kOk) {
    device.set_uuid(absl::StrCat("unknown-", index));
    device.set_healthy(false);
    device.set_health_reason("the driver does not answer for this device");
    return device;
  }
  Describe(nvml, handle, &device);
  device.set_numa_node(NumaNode(nvml, handle));
  // Devices with links form one island on the machines NVIDIA builds; others stand alone.
  device.set_link_island(HasLinks(nvml, handle) ? 0 : static_cast<int32_t>(index) + 1);
  unsigned long long errors = 0;
  if (nvml.ecc_errors != nullptr &&
      nvml.ecc_errors(handle, kUncorrected, kVolatileCounter, &errors) == kOk && errors > 0) {
    device.set_healthy(false);
    device.set_health_reason(absl::StrCat(errors, " uncorrectable memory errors"));
  }
  return device;
}

// The slices that the device is cut into; none where it is whole.
std::vector<v1::Device> SlicesOf(const Nvml& nvml, const v1::Device& whole) {
  std::vector<v1::Device> slices;
  Handle handle = nullptr;
  unsigned most = 0;
  if (nvml.slices_max == nullptr || nvml.slice == nullptr ||
      nvml.by_index(static_cast<unsigned>(whole.index()), &handle) != kOk ||
      nvml.slices_max(handle, &most) != kOk) {
    return slices;
  }
  for (unsigned at = 0; at < most; ++at) {
    Handle cut = nullptr;
    if (nvml.slice(handle, at, &cut) != kOk || cut == nullptr) continue;
    v1::Device& slice = slices.emplace_back(whole);
    slice.clear_uuid();
    Describe(nvml, cut, &slice);
    slice.set_parent(whole.uuid());
    if (slice.uuid().empty()) slices.pop_back();
  }
  return slices;
}

}  // namespace

std::vector<v1::Device> ReadDevices(const std::string& library) {
  std::vector<v1::Device> devices;
  void* const loaded = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (loaded == nullptr) return devices;
  Nvml nvml;
  if (Load(loaded, &nvml) && nvml.init() == kOk) {
    unsigned count = 0;
    if (nvml.count(&count) == kOk) {
      for (unsigned index = 0; index < count; ++index) {
        devices.push_back(DeviceOf(nvml, index));
        for (v1::Device& slice : SlicesOf(nvml, v1::Device(devices.back()))) {
          devices.push_back(std::move(slice));
        }
      }
    }
    nvml.shutdown();
  }
  dlclose(loaded);
  return devices;
}

}  // namespace trainyard::worker
