// See event_loop.h.
#include "worker/agent/event_loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace trainyard::worker {

EventLoop::EventLoop(const Clock* clock)
    : clock_(clock),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = wake_.get();
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event);
}

void EventLoop::Post(Task task) {
  {
    MutexLock lock(&mutex_);
    posted_.push_back(std::move(task));
    if (posted_.size() > 1) return;  // the loop has been woken for an earlier one
  }
  const uint64_t one = 1;
  if (write(wake_.get(), &one, sizeof one) < 0) return;  // full counter: it is awake
}

void EventLoop::Stop() {
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
  }
  const uint64_t one = 1;
  if (write(wake_.get(), &one, sizeof one) < 0) return;
}

void EventLoop::Watch(int fd, Task on_readable) {
  watched_[fd] = std::move(on_readable);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

void EventLoop::Unwatch(int fd) {
  if (watched_.erase(fd) > 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

uint64_t EventLoop::After(absl::Duration delay, Task task) {
  const uint64_t timer = next_timer_++;
  const absl::Duration time = Now() + delay;
  timers_[{time, timer}] = std::move(task);
  timer_times_[timer] = time;
  return timer;
}

void EventLoop::Cancel(uint64_t timer) {
  const auto found = timer_times_.find(timer);
  if (found == timer_times_.end()) return;
  timers_.erase({found->second, timer});
  timer_times_.erase(found);
}

void EventLoop::Run() {
  while (RunOnce(absl::InfiniteDuration())) {
  }
}

int EventLoop::WaitMillis(absl::Duration wait) const {
  if (!timers_.empty()) wait = std::min(wait, timers_.begin()->first.first - Now());
  if (wait <= absl::ZeroDuration()) return 0;
  // Rounded up: a timer that wakes early would only spin.
  return static_cast<int>(absl::ToInt64Milliseconds(std::min(wait, absl::Seconds(60)))) + 1;
}

bool EventLoop::RunOnce(absl::Duration wait) {
  epoll_event events[64];
  const int count = epoll_wait(epoll_.get(), events, 64, WaitMillis(wait));
  for (int i = 0; i < count; ++i) {
    const int fd = events[i].data.fd;
    if (fd == wake_.get()) {
      uint64_t ignored = 0;
      if (read(fd, &ignored, sizeof ignored) < 0 && errno != EAGAIN) continue;
    } else if (const auto found = watched_.find(fd); found != watched_.end()) {
      const Task task = found->second;  // it may unwatch itself
      task();
    }
  }
  RunPosted();
  RunTimers();
  MutexLock lock(&mutex_);
  return !stopped_;
}

void EventLoop::RunPosted() {
  std::vector<Task> tasks;
  {
    MutexLock lock(&mutex_);
    tasks.swap(posted_);
  }
  for (Task& task : tasks) task();
}

void EventLoop::RunTimers() {
  const absl::Duration now = Now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto first = timers_.extract(timers_.begin());
    timer_times_.erase(first.key().second);
    first.mapped()();
  }
}

}  // namespace trainyard::worker
