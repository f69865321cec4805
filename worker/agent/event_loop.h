// The agent's one thread of control: descriptors, timers and closures posted by others, handled one
// after another. Everything the agent owns is touched on this thread only; Post() alone may be
// called from any thread.
#ifndef TRAINYARD_WORKER_AGENT_EVENT_LOOP_H_
#define TRAINYARD_WORKER_AGENT_EVENT_LOOP_H_

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/mutex.h"

namespace trainyard::worker {

class EventLoop {
 public:
  using Task = std::function<void()>;

  explicit EventLoop(const Clock* clock);
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Any thread. Tasks run in the order of posting; those posted after Stop took effect never run.
  void Post(Task task);
  void Stop();  // any thread

  // Loop thread. `on_readable` runs whenever `fd` is readable, until Unwatch.
  void Watch(int fd, Task on_readable);
  void Unwatch(int fd);
  // Runs `task` once, `delay` from now. The number is for Cancel.
  uint64_t After(absl::Duration delay, Task task);
  void Cancel(uint64_t timer);
  absl::Duration Now() const { return clock_->Monotonic(); }
  const Clock& clock() const { return *clock_; }

  // Runs until Stop.
  void Run();
  // One round: waits at most `wait` for something to do, does it. False once stopped.
  bool RunOnce(absl::Duration wait);

 private:
  int WaitMillis(absl::Duration wait) const;
  void RunTimers();
  void RunPosted();

  const Clock* const clock_;
  FileDescriptor epoll_;
  FileDescriptor wake_;
  std::map<int, Task> watched_;
  std::map<std::pair<absl::Duration, uint64_t>, Task> timers_;
  std::map<uint64_t, absl::Duration> timer_times_;
  uint64_t next_timer_ = 1;
  Mutex mutex_;
  std::vector<Task> posted_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_EVENT_LOOP_H_
