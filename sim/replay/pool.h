// GPUs of equal nodes, and the two placement rules of the replay. A value; pure.
//  - pack: at most one node's worth goes inside one node, best fit (least free that fits, then
//  lowest index); more takes
//    wholly free nodes (lowest index) and best fit for the remainder.
//  - count: one pool, no fragmentation (kept as a single node).
#ifndef TRAINYARD_SIM_REPLAY_POOL_H_
#define TRAINYARD_SIM_REPLAY_POOL_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace trainyard::replay {

// (node, GPUs), rising by node.
using Share = std::vector<std::pair<int32_t, int32_t>>;

class Pool {
 public:
  Pool(int nodes, int gpus_per_node, bool pack)
      : per_node_(pack ? gpus_per_node : nodes * gpus_per_node),
        free_(static_cast<size_t>(pack ? nodes : 1), per_node_),
        total_free_(nodes * gpus_per_node) {}

  // Fills `share` when `gpus` fit; changes nothing.
  bool Fit(int32_t gpus, Share* share) const;
  bool Fits(int32_t gpus) const {
    Share unused;
    return Fit(gpus, &unused);
  }
  void Take(const Share& share) { Add(share, -1); }
  void Give(const Share& share) { Add(share, 1); }

  int32_t free(int32_t node) const { return free_[static_cast<size_t>(node)]; }
  int64_t total_free() const { return total_free_; }

 private:
  void Add(const Share& share, int32_t sign) {
    for (const auto& [node, gpus] : share) {
      free_[static_cast<size_t>(node)] += sign * gpus;
      total_free_ += sign * gpus;
    }
  }
  // Node outside `taken` (rising) with the least free that is at least `gpus`, -1 when none.
  int32_t BestFit(int32_t gpus, const Share& taken) const;

  int32_t per_node_;
  std::vector<int32_t> free_;
  int64_t total_free_;
};

}  // namespace trainyard::replay

#endif  // TRAINYARD_SIM_REPLAY_POOL_H_
