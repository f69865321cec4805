// Nodes that are kept free for a time: maintenance, a calendar reservation, a drain with a
// deadline. Runs that may be preempted use them until then. See planner.h.
#include <algorithm>

#include "scheduler/placement/planner.h"

namespace trainyard::placement {

void Planner::FindWindows() {
  windowed_.clear();
  for (int32_t node = 0; node < cluster_.size(); ++node) {
    if (!cluster_.node(node).windows.empty()) windowed_.push_back(node);
  }
  windows_known_ = true;
}

// Stops those that are still there when a window opens.
void Planner::Close(Plan* plan) {
  if (!windows_known_) FindWindows();
  if (next_window_us_ <= now_us_) {  // one began or ended: everybody is looked at again
    cluster_.Grow();
    changed_ = true;
  }
  for (const int32_t node : windowed_) {
    for (const Window& window : cluster_.node(node).windows) {
      const bool open =
          window.start_us <= now_us_ && (window.end_us == 0 || now_us_ < window.end_us);
      if (!open) continue;
      const std::vector<int32_t> holders = cluster_.node(node).holders;
      for (const int32_t holder : holders) {
        const Run& of = run(holder);
        const bool stays = of.state != State::kRunning || !of.preemptible ||
                           (window.calendar != 0 && shape(of).calendar == window.calendar);
        if (stays) continue;
        for (const Slice& slice : of.held->slices) cluster_.Untake(slice);
        Preempt(holder, kWindowPower, 0, plan);
        changed_ = true;
      }
    }
  }
  next_window_us_ = NextWindowUs();
}

int64_t Planner::NextWindowUs() const {
  int64_t next = INT64_MAX;
  for (const int32_t node : windowed_) {
    for (const Window& window : cluster_.node(node).windows) {
      for (const int64_t at : {window.start_us, window.end_us}) {
        if (at > now_us_) next = std::min(next, at);
      }
    }
  }
  return next;
}

}  // namespace trainyard::placement
