// See cuda_runtime.h. Two GPUs, or none with FAKE_NCCL=none.
#include "tests/worker/nccl/fake/fake_cuda.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <utility>

#include "cuda_runtime.h"

struct FakeEvent {
  FakeStream* stream = nullptr;  // nullptr: of the default stream, whose work is done at once
  uint64_t after = 0;
};

namespace {

std::mutex g_mutex;
std::set<FakeStream*> g_streams;  // all there are

}  // namespace

FakeStream::FakeStream() {
  const std::lock_guard all(g_mutex);
  g_streams.insert(this);
  thread = std::thread([this] {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return ending || !work.empty(); });
      if (work.empty()) return;
      const std::function<void()> next = std::move(work.front());
      work.pop_front();
      lock.unlock();
      next();
      lock.lock();
      ++done;
      changed.notify_all();
    }
  });
}

FakeStream::~FakeStream() {
  {
    const std::lock_guard all(g_mutex);
    g_streams.erase(this);
  }
  {
    const std::lock_guard lock(mutex);
    ending = true;
  }
  changed.notify_all();
  thread.join();
}

void FakeStream::Give(std::function<void()> next) {
  const std::lock_guard lock(mutex);
  work.push_back(std::move(next));
  ++given;
  changed.notify_all();
}

void FakeStream::Drain() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [this] { return done == given; });
}

bool FakeMode(const char* name) {
  const char* const mode = std::getenv("FAKE_NCCL");
  return mode != nullptr && std::strcmp(mode, name) == 0;
}

const char* cudaGetErrorString(cudaError_t) { return "a fake CUDA error"; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = FakeMode("none") ? 0 : 2;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  return device >= 0 && device < 2 ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int) {
  *stream = new FakeStream;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
  if (event->stream == nullptr) return cudaSuccess;
  stream->Give([of = event->stream, after = event->after] {
    std::unique_lock lock(of->mutex);
    of->changed.wait(lock, [&] { return of->done >= after; });
  });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int) {
  *event = new FakeEvent;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  *event = {};
  if (stream == cudaStreamLegacy) return cudaSuccess;
  const std::lock_guard lock(stream->mutex);
  *event = {stream, stream->given};
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (event->stream == nullptr) return cudaSuccess;
  const std::lock_guard lock(event->stream->mutex);
  return event->stream->done >= event->after ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  *memory = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  return *memory != nullptr ? cudaSuccess : cudaErrorInvalidValue;
}

// Waits for what every stream still does, as the real one.
cudaError_t cudaFree(void* memory) {
  {
    const std::lock_guard all(g_mutex);
    for (FakeStream* const stream : g_streams) stream->Drain();
  }
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemset(void* memory, int value, size_t bytes) {
  std::memset(memory, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

// For tests: a stream that writes `value` to `to` a while from now.
extern "C" void* fake_late_write(float* to, float value) {
  static FakeStream stream;
  stream.Give([=] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    *to = value;
  });
  return &stream;
}
