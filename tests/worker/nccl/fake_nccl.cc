// A plug-in without GPUs: its "GPU memory" is the host's and every rank is alone, so that what
// worker/training does around NCCL is tried anywhere. FAKE_NCCL says how it behaves:
//   none: no GPU; error: fails once it runs; never: nothing that began ends; else all goes well.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "worker/nccl/nccl_api.h"

namespace {

bool Mode(const char* name) {
  const char* const mode = std::getenv("FAKE_NCCL");
  return mode != nullptr && std::strcmp(mode, name) == 0;
}

int g_busy = 0;  // answers left until what was begun is taken
int g_runs = 0;
char g_handle, g_mark;

int Begin() {
  g_busy = 3;
  ++g_runs;
  return TRAINYARD_NCCL_BUSY;
}

int Poll(void*) {
  if (Mode("error") && g_runs > 2) return TRAINYARD_NCCL_FAILED;
  return g_busy-- > 0 ? TRAINYARD_NCCL_BUSY : TRAINYARD_NCCL_DONE;
}

int Open(const void* id, int, int, int, void** handle) {
  const char* const bytes = static_cast<const char*>(id);
  for (int i = 0; i < TRAINYARD_NCCL_ID_BYTES; ++i) {
    if (bytes[i] != i) return TRAINYARD_NCCL_FAILED;  // the first rank's id did not arrive
  }
  *handle = &g_handle;
  return Begin();
}

const trainyard_nccl_api kApi = {
    TRAINYARD_NCCL_VERSION,
    [] { return 22809; },
    [] { return Mode("none") ? 0 : 1; },
    []() -> const char* { return "the fake failed"; },
    [](void* id) {
      for (int i = 0; i < TRAINYARD_NCCL_ID_BYTES; ++i) {
        static_cast<char*>(id)[i] = static_cast<char>(i);
      }
      return static_cast<int>(TRAINYARD_NCCL_DONE);
    },
    Open,
    Poll,
    [](void*, void*, size_t, int, int) { return Begin(); },
    [](void*, const void*, void*, size_t, int, int) { return Begin(); },
    [](void*, const void*, void*, size_t, int) { return Begin(); },
    [](void*, void*, size_t, int, int) { return Begin(); },
    [](void*, void** mark) {
      *mark = &g_mark;
      return static_cast<int>(TRAINYARD_NCCL_DONE);
    },
    [](void*, void*) {
      const bool never = Mode("never") && g_runs > 2;
      return static_cast<int>(never ? TRAINYARD_NCCL_BUSY : TRAINYARD_NCCL_DONE);
    },
    [](void*, size_t bytes, void** memory) {
      *memory = std::calloc(1, bytes);  // lives as long as the process
      return static_cast<int>(TRAINYARD_NCCL_DONE);
    },
    [](void*, void* to, const void* from, size_t bytes) {
      std::memcpy(to, from, bytes);
      return static_cast<int>(TRAINYARD_NCCL_DONE);
    },
    [](void*) { std::fputs("aborted\n", stderr); },
    [](void*) { std::fputs("closed\n", stderr); },
};

}  // namespace

const trainyard_nccl_api* trainyard_nccl(void) { return &kApi; }
