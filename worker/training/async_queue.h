// Runs collectives one after the other on a thread of its own, so that the caller computes
// meanwhile. The thread starts with the first call. Once one has failed, what is behind it is not
// run and fails alike: each would wait for the same missing rank anew. Thread-safe.
#ifndef TRAINYARD_WORKER_TRAINING_ASYNC_QUEUE_H_
#define TRAINYARD_WORKER_TRAINING_ASYNC_QUEUE_H_

#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "common/mutex.h"
#include "worker/training/communicator.h"

namespace trainyard::training {

class AsyncQueue {
 public:
  AsyncQueue() = default;
  // Ends after what was started.
  ~AsyncQueue();

  // `work` runs after all started before.
  std::unique_ptr<Pending> Start(std::function<absl::Status()> work);
  // Until nothing is under way: a caller may then run a collective itself.
  void Drain();

 private:
  struct Task {
    std::function<absl::Status()> work;
    absl::Status status;
    bool done = false;
  };
  class Handle;

  void Run();
  absl::Status WaitFor(const Task* task);

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::shared_ptr<Task>> tasks_ ABSL_GUARDED_BY(mutex_);  // the first may be running
  absl::Status failed_ ABSL_GUARDED_BY(mutex_);                      // the first error
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_ASYNC_QUEUE_H_
