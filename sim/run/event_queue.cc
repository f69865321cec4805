// See event_queue.h.
#include "sim/run/event_queue.h"

#include <algorithm>
#include <utility>

namespace trainyard::sim {

void EventQueue::After(int64_t delay_us, Kind kind, Action action) {
  uint32_t slot = 0;
  if (free_.empty()) {
    slot = static_cast<uint32_t>(slots_.size());
    slots_.push_back(std::move(action));
  } else {
    slot = free_.back();
    free_.pop_back();
    slots_[slot] = std::move(action);
  }
  heap_.push_back({now_us_ + std::max<int64_t>(delay_us, 0), next_order_++, slot, kind});
  std::push_heap(heap_.begin(), heap_.end());
}

bool EventQueue::RunOne(int64_t until_us) {
  if (heap_.empty() || heap_.front().time_us > until_us) {
    now_us_ = std::max(now_us_, until_us);
    return false;
  }
  std::pop_heap(heap_.begin(), heap_.end());
  const Entry entry = heap_.back();
  heap_.pop_back();
  now_us_ = entry.time_us;
  if (entry.kind != Kind::kInternal) ++events_;
  ++by_kind_[static_cast<size_t>(entry.kind)];
  Mix(static_cast<uint64_t>(entry.time_us) * kKinds + static_cast<uint64_t>(entry.kind));
  const Action action = std::exchange(slots_[entry.slot], nullptr);
  free_.push_back(entry.slot);
  action();
  return true;
}

}  // namespace trainyard::sim
