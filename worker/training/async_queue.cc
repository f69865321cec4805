// See async_queue.h.
#include "worker/training/async_queue.h"

namespace trainyard::training {

class AsyncQueue::Handle : public Pending {
 public:
  Handle(AsyncQueue* queue, std::shared_ptr<Task> task) : queue_(queue), task_(std::move(task)) {}
  absl::Status Wait() override { return queue_->WaitFor(task_.get()); }

 private:
  AsyncQueue* const queue_;
  const std::shared_ptr<Task> task_;
};

AsyncQueue::~AsyncQueue() {
  {
    MutexLock lock(&mutex_);
    ending_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

std::unique_ptr<Pending> AsyncQueue::Start(std::function<absl::Status()> work) {
  auto task = std::make_shared<Task>();
  task->work = std::move(work);
  MutexLock lock(&mutex_);
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  tasks_.push_back(task);
  changed_.NotifyAll();
  return std::make_unique<Handle>(this, std::move(task));
}

void AsyncQueue::Drain() {
  MutexLock lock(&mutex_);
  while (!tasks_.empty()) changed_.Wait(&mutex_);
}

absl::Status AsyncQueue::WaitFor(const Task* task) {
  MutexLock lock(&mutex_);
  while (!task->done) changed_.Wait(&mutex_);
  return task->status;
}

void AsyncQueue::Run() {
  mutex_.Lock();
  while (true) {
    while (tasks_.empty() && !ending_) changed_.Wait(&mutex_);
    if (tasks_.empty()) break;
    const std::shared_ptr<Task> task = tasks_.front();
    absl::Status status = failed_;
    if (status.ok()) {
      mutex_.Unlock();
      status = task->work();
      mutex_.Lock();
      failed_ = status;
    }
    task->status = std::move(status);
    task->done = true;
    tasks_.pop_front();
    changed_.NotifyAll();
  }
  mutex_.Unlock();
}

}  // namespace trainyard::training
