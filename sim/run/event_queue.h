// Virtual time: actions in order of their time, and in order of their posting when times are equal,
// so that one seed is one history. Thread-compatible.
#ifndef TRAINYARD_SIM_RUN_EVENT_QUEUE_H_
#define TRAINYARD_SIM_RUN_EVENT_QUEUE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

namespace trainyard::sim {

// What an event is, for the count: nothing else is counted as one.
enum class Kind : uint8_t {
  kTimer,     // of the scheduler, an agent, a supervisor or a user
  kDelivery,  // a message has arrived
  kDisk,      // a commit has ended
  kProcess,   // ranks started, ended, saved or measured; staging, uploads, removals ended
  kPlanner,   // a planner has an answer
  kFault,     // one begins or ends
  kInternal,  // not counted: a process goes on with what it has, without waiting for the world
};
inline constexpr int kKinds = 7;

class EventQueue {
 public:
  using Action = std::function<void()>;

  int64_t now_us() const { return now_us_; }
  const int64_t* clock() const { return &now_us_; }
  void After(int64_t delay_us, Kind kind, Action action);
  // Runs the next event; false when there is none before `until_us` (then that is the time).
  bool RunOne(int64_t until_us);

  uint64_t events() const { return events_; }
  uint64_t events(Kind kind) const { return by_kind_[static_cast<size_t>(kind)]; }
  // Of the times and kinds of all events so far.
  uint64_t history() const { return history_; }
  void Mix(uint64_t value) { history_ = (history_ ^ value) * 0x9E3779B97F4A7C15ULL + 1; }

 private:
  struct Entry {
    int64_t time_us;
    uint64_t order;
    uint32_t slot;
    Kind kind;
    bool operator<(const Entry& other) const {  // a heap's front is the greatest
      return time_us != other.time_us ? time_us > other.time_us : order > other.order;
    }
  };

  int64_t now_us_ = 0;
  uint64_t next_order_ = 0;
  std::vector<Entry> heap_;
  std::vector<Action> slots_;
  std::vector<uint32_t> free_;
  uint64_t events_ = 0;
  std::array<uint64_t, kKinds> by_kind_ = {};
  uint64_t history_ = 0;
};

}  // namespace trainyard::sim

#endif  // TRAINYARD_SIM_RUN_EVENT_QUEUE_H_
