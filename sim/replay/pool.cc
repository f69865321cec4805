// See pool.h.
#include "sim/replay/pool.h"

#include <algorithm>

namespace trainyard::replay {

int32_t Pool::BestFit(int32_t gpus, const Share& taken) const {
  int32_t best = -1;
  int32_t best_free = per_node_ + 1;
  size_t next_taken = 0;
  for (size_t node = 0; node < free_.size(); ++node) {
    if (next_taken < taken.size() && taken[next_taken].first == static_cast<int32_t>(node)) {
      ++next_taken;
      continue;
    }
    if (free_[node] >= gpus && free_[node] < best_free) {
      best = static_cast<int32_t>(node);
      best_free = free_[node];
      if (best_free == gpus) break;
    }
  }
  return best;
}

bool Pool::Fit(int32_t gpus, Share* share) const {
  share->clear();
  if (gpus > total_free_) return false;
  for (size_t node = 0; gpus > per_node_ && node < free_.size(); ++node) {
    if (free_[node] != per_node_) continue;
    share->emplace_back(static_cast<int32_t>(node), per_node_);
    gpus -= per_node_;
    if (gpus <= per_node_) break;
  }
  if (gpus > per_node_) return false;
  // A whole node's worth that is left is again a wholly free node: best fit finds the lowest.
  const int32_t node = gpus > 0 ? BestFit(gpus, *share) : -1;
  if (gpus > 0 && node < 0) return false;
  if (gpus > 0) share->emplace_back(node, gpus);
  std::sort(share->begin(), share->end());
  return true;
}

}  // namespace trainyard::replay
