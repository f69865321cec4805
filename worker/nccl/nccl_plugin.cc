// The plug-in behind nccl_api.h: NCCL in its non-blocking mode, which alone lets a process abort
// while a peer has gone. Built where nccl.h and the CUDA runtime are; never linked by our programs.
#include <cuda_runtime.h>
#include <nccl.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "worker/nccl/nccl_api.h"

namespace {

static_assert(sizeof(ncclUniqueId) == TRAINYARD_NCCL_ID_BYTES);

constexpr ncclDataType_t kTypes[] = {ncclFloat32,  ncclFloat64, ncclFloat16,
                                     ncclBfloat16, ncclInt32,   ncclInt64};
constexpr ncclRedOp_t kOperators[] = {ncclSum, ncclAvg, ncclMin, ncclMax};

constexpr auto kLeaving = std::chrono::seconds(5);

thread_local std::string t_error;

int Failed(const std::string& what) {
  t_error = what;
  return TRAINYARD_NCCL_FAILED;
}

int Answer(ncclResult_t result, const char* what) {
  if (result == ncclSuccess) return TRAINYARD_NCCL_DONE;
  if (result == ncclInProgress) return TRAINYARD_NCCL_BUSY;
  return Failed(std::string(what) + ": " + ncclGetErrorString(result) + ": " +
                ncclGetLastError(nullptr));
}

int Answer(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return TRAINYARD_NCCL_DONE;
  return Failed(std::string(what) + ": " + cudaGetErrorString(result));
}

// Memory that NCCL was told about.
struct Piece {
  void* memory = nullptr;
  bool by_nccl = false;
};

struct Handle {
  ncclComm_t comm = nullptr;
  int device = 0;
  cudaStream_t stream = nullptr;           // not the default one: computing goes on beside it
  cudaStream_t behind = cudaStreamLegacy;  // whose work so far comes before each call
  cudaEvent_t ready = nullptr;             // that work
  std::vector<Piece> pieces;
  std::vector<cudaEvent_t> spare;

  ~Handle() {
    for (const Piece& piece : pieces) {
      piece.by_nccl ? static_cast<void>(ncclMemFree(piece.memory))
                    : static_cast<void>(cudaFree(piece.memory));
    }
    for (cudaEvent_t event : spare) cudaEventDestroy(event);
    if (ready != nullptr) cudaEventDestroy(ready);
    if (stream != nullptr) cudaStreamDestroy(stream);
  }
};

Handle* Of(void* handle) { return static_cast<Handle*>(handle); }

// What the stream of Behind() was given comes first.
int Before(Handle* handle) {
  int answer = Answer(cudaSetDevice(handle->device), "choosing the GPU");
  if (answer == TRAINYARD_NCCL_DONE) {
    answer = Answer(cudaEventRecord(handle->ready, handle->behind), "recording an event");
  }
  if (answer != TRAINYARD_NCCL_DONE) return answer;
  return Answer(cudaStreamWaitEvent(handle->stream, handle->ready, 0), "ordering streams");
}

int LibraryVersion() {
  int version = 0;
  ncclGetVersion(&version);
  return version;
}

// Never by an NCCL id: those are given without a driver too.
int Devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) return 0;
  return count;
}

const char* Error() { return t_error.c_str(); }

int UniqueId(void* id) {
  return Answer(ncclGetUniqueId(static_cast<ncclUniqueId*>(id)), "making an id");
}

int Open(const void* id, int size, int rank, int device, void** out) {
  auto handle = std::make_unique<Handle>();
  handle->device = device;
  int answer = Answer(cudaSetDevice(device), "choosing the GPU");
  if (answer == TRAINYARD_NCCL_DONE) {
    answer = Answer(cudaStreamCreateWithFlags(&handle->stream, cudaStreamNonBlocking),
                    "making a stream");
  }
  if (answer == TRAINYARD_NCCL_DONE) {
    answer =
        Answer(cudaEventCreateWithFlags(&handle->ready, cudaEventDisableTiming), "making an event");
  }
  if (answer != TRAINYARD_NCCL_DONE) return answer;
  ncclUniqueId unique;
  std::memcpy(&unique, id, sizeof(unique));
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  answer = Answer(ncclCommInitRankConfig(&handle->comm, size, unique, rank, &config), "joining");
  if (answer != TRAINYARD_NCCL_FAILED) *out = handle.release();
  return answer;
}

int Poll(void* handle) {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t result = ncclCommGetAsyncError(Of(handle)->comm, &state);
  return Answer(result == ncclSuccess ? state : result, "NCCL");
}

void Behind(void* handle, void* stream) {
  Of(handle)->behind = stream == nullptr ? cudaStreamLegacy : static_cast<cudaStream_t>(stream);
}

int AllReduce(void* handle, void* data, size_t count, int type, int op) {
  if (const int answer = Before(Of(handle)); answer != TRAINYARD_NCCL_DONE) return answer;
  return Answer(ncclAllReduce(data, data, count, kTypes[type], kOperators[op], Of(handle)->comm,
                              Of(handle)->stream),
                "all-reduce");
}

int ReduceScatter(void* handle, const void* send, void* receive, size_t count, int type, int op) {
  if (const int answer = Before(Of(handle)); answer != TRAINYARD_NCCL_DONE) return answer;
  return Answer(ncclReduceScatter(send, receive, count, kTypes[type], kOperators[op],
                                  Of(handle)->comm, Of(handle)->stream),
                "reduce-scatter");
}

int AllGather(void* handle, const void* send, void* receive, size_t count, int type) {
  if (const int answer = Before(Of(handle)); answer != TRAINYARD_NCCL_DONE) return answer;
  return Answer(
      ncclAllGather(send, receive, count, kTypes[type], Of(handle)->comm, Of(handle)->stream),
      "all-gather");
}

int Broadcast(void* handle, void* data, size_t count, int type, int root) {
  if (const int answer = Before(Of(handle)); answer != TRAINYARD_NCCL_DONE) return answer;
  return Answer(
      ncclBroadcast(data, data, count, kTypes[type], root, Of(handle)->comm, Of(handle)->stream),
      "broadcast");
}

int Mark(void* handle, void** mark) {
  std::vector<cudaEvent_t>& spare = Of(handle)->spare;
  cudaEvent_t event = nullptr;
  if (!spare.empty()) {
    event = spare.back();
    spare.pop_back();
  } else if (const int answer =
                 Answer(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event");
             answer != TRAINYARD_NCCL_DONE) {
    return answer;
  }
  *mark = event;
  return Answer(cudaEventRecord(event, Of(handle)->stream), "recording an event");
}

int Reached(void* handle, void* mark) {
  const cudaError_t result = cudaEventQuery(static_cast<cudaEvent_t>(mark));
  if (result == cudaErrorNotReady) return TRAINYARD_NCCL_BUSY;
  Of(handle)->spare.push_back(static_cast<cudaEvent_t>(mark));
  return Answer(result, "the GPU");
}

// ncclMemAlloc's memory may be registered for the switch's own sums; not every system has it.
int Allocate(void* handle, size_t bytes, void** memory) {
  int answer = Answer(cudaSetDevice(Of(handle)->device), "choosing the GPU");
  if (answer != TRAINYARD_NCCL_DONE) return answer;
  Piece piece;
  piece.by_nccl = ncclMemAlloc(&piece.memory, bytes > 0 ? bytes : 1) == ncclSuccess;
  if (!piece.by_nccl) {
    answer = Answer(cudaMalloc(&piece.memory, bytes > 0 ? bytes : 1), "allocating on the GPU");
    if (answer != TRAINYARD_NCCL_DONE) return answer;
  }
  Of(handle)->pieces.push_back(piece);
  *memory = piece.memory;
  return Answer(cudaMemset(piece.memory, 0, bytes), "zeroing memory of the GPU");
}

int Copy(void* handle, void* to, const void* from, size_t bytes) {
  const int answer = Answer(cudaSetDevice(Of(handle)->device), "choosing the GPU");
  if (answer != TRAINYARD_NCCL_DONE) return answer;
  return Answer(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), "copying");
}

void Abort(void* handle) {
  cudaSetDevice(Of(handle)->device);
  ncclCommAbort(Of(handle)->comm);
  delete Of(handle);
}

// Leaving waits for the peers; for one that has gone, not for ever.
void Close(void* handle) {
  cudaSetDevice(Of(handle)->device);
  ncclComm_t const comm = Of(handle)->comm;
  ncclResult_t state = ncclCommFinalize(comm);
  const auto limit = std::chrono::steady_clock::now() + kLeaving;
  while (state == ncclInProgress && std::chrono::steady_clock::now() < limit) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (const ncclResult_t asked = ncclCommGetAsyncError(comm, &state); asked != ncclSuccess) {
      state = asked;
    }
  }
  state == ncclSuccess ? ncclCommDestroy(comm) : ncclCommAbort(comm);
  delete Of(handle);
}

}  // namespace

const trainyard_nccl_api* trainyard_nccl(void) {
  static const trainyard_nccl_api api = {TRAINYARD_NCCL_VERSION,
                                         LibraryVersion,
                                         Devices,
                                         Error,
                                         UniqueId,
                                         Open,
                                         Poll,
                                         Behind,
                                         AllReduce,
                                         ReduceScatter,
                                         AllGather,
                                         Broadcast,
                                         Mark,
                                         Reached,
                                         Allocate,
                                         Copy,
                                         Abort,
                                         Close};
  return &api;
}
