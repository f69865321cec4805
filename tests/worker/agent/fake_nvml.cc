// A management library with three devices, two of them linked, the second cut into two slices, the
// third ill, for the test of
// worker/agent/nvml.cc, which loads it in place of the real one.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern "C" {

struct FakeMemory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = 3;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** handle) {
  *handle = reinterpret_cast<void*>(static_cast<uintptr_t>(index) + 1);
  return 0;
}
static unsigned IndexOf(void* handle) {
  return static_cast<unsigned>(reinterpret_cast<uintptr_t>(handle) - 1);
}
static bool IsSlice(void* handle) { return IndexOf(handle) >= 100; }
int nvmlDeviceGetUUID(void* handle, char* text, unsigned size) {
  snprintf(text, size, IsSlice(handle) ? "MIG-fake-%u" : "GPU-fake-%u", IndexOf(handle));
  return 0;
}
int nvmlDeviceGetName(void* handle, char* text, unsigned size) {
  const char* profile = IndexOf(handle) == 100 ? " MIG 3g.40gb" : " MIG 1g.10gb";
  snprintf(text, size, "NVIDIA A100-SXM4-80GB%s", IsSlice(handle) ? profile : "");
  return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(void*, unsigned* count) {
  *count = 7;
  return 0;
}
int nvmlDeviceGetMigDeviceHandleByIndex(void* handle, unsigned index, void** slice) {
  if (IndexOf(handle) != 1 || index > 1) return 6;  // not found
  *slice = reinterpret_cast<void*>(static_cast<uintptr_t>(index) + 101);
  return 0;
}
int nvmlDeviceGetMemoryInfo(void* handle, FakeMemory* memory) {
  memory->total = IndexOf(handle) == 100 ? 40ULL << 30 : 80ULL << 30;
  memory->free = memory->total;
  memory->used = 0;
  return 0;
}
int nvmlDeviceGetTotalEccErrors(void* handle, unsigned, unsigned, unsigned long long* count) {
  *count = IndexOf(handle) == 2 ? 4 : 0;
  return 0;
}
int nvmlDeviceGetNvLinkState(void* handle, unsigned link, unsigned* active) {
  *active = IndexOf(handle) < 2 && link == 5 ? 1 : 0;
  return 0;
}

}  // extern "C"
