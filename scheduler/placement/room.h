// The free room of a cluster while one plan is made: where a gang fits, all ranks or none, and what
// it takes away. Whole devices, fractions of one device, cores and memory. Pure; not thread-safe.
//  - No device is given out twice as a whole; fractions of a device never exceed 1000.
//  - Ranks with equal needs are interchangeable, so their placing is exact; ranks of different
//  needs are placed largest first, which may miss an arrangement that exists.
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_ROOM_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_ROOM_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "scheduler/placement/placement.h"

namespace trainyard::placement {

class Room {
 public:
  // `empty`: as if nothing ran. `schedulable_only`: other nodes do not exist.
  Room(const std::vector<NodeView>& nodes, bool empty, bool schedulable_only);

  // Finds a place for every rank of `run` and takes it; nothing is taken when there is none. Nodes
  // in `avoid` are not used. Pack: fewest nodes, then the tightest; spread: the emptiest first.
  std::optional<Placement> Take(const WaitingRun& run, const std::set<std::string>& avoid);

  // How many ranks of `needs` fit on one node now, and in the whole room.
  int LargestOnOneNode(const RankNeeds& needs) const;
  int Count(const RankNeeds& needs) const;
  size_t nodes() const { return nodes_.size(); }

  // Largest free amounts on any one node.
  int LargestFreeGpus(const std::vector<std::string>& models) const;
  int64_t LargestFreeCpuMilli() const;
  int64_t LargestFreeMemory() const;

 private:
  struct Node {
    std::string id;
    int64_t cpu_milli = 0;
    int64_t memory = 0;
    std::vector<DeviceView> devices;
  };
  using Grouped = std::vector<std::pair<RankNeeds, std::vector<int32_t>>>;  // equal needs, ranks

  static bool Accepts(const RankNeeds& needs, const DeviceView& device, size_t models_used);
  static int Fits(const Node& node, const RankNeeds& needs, int most, size_t models_used);
  static std::vector<std::string> Devices(Node* node, const RankNeeds& needs, size_t models_used);
  static Grouped Group(const WaitingRun& run);
  bool TakeGroup(const RankNeeds& needs, const std::vector<int32_t>& ranks, bool spread,
                 size_t models_used, const std::set<std::string>& avoid,
                 std::map<size_t, std::map<int32_t, std::vector<std::string>>>* taken);
  size_t NextNode(const RankNeeds& needs, int left, bool spread, size_t models_used,
                  const std::set<std::string>& avoid, const std::map<size_t, int>& used) const;

  std::vector<Node> nodes_;
};

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_ROOM_H_
