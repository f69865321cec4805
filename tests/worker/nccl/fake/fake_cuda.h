// What the two fakes share: streams that do work in order, each on a thread of its own.
#ifndef TRAINYARD_TESTS_WORKER_NCCL_FAKE_FAKE_CUDA_H_
#define TRAINYARD_TESTS_WORKER_NCCL_FAKE_FAKE_CUDA_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

struct FakeStream {
  FakeStream();
  ~FakeStream();  // after all work
  void Give(std::function<void()> work);
  void Drain();  // waits until all that was given is done

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> work;
  uint64_t given = 0, done = 0;
  bool ending = false;
  std::thread thread;
};

// FAKE_NCCL is `name`.
bool FakeMode(const char* name);

#endif  // TRAINYARD_TESTS_WORKER_NCCL_FAKE_FAKE_CUDA_H_
