// See room.h.
#include "scheduler/placement/room.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace trainyard::placement {
namespace {

constexpr int32_t kWhole = 1000;
constexpr size_t kNone = std::numeric_limits<size_t>::max();

bool SameNeeds(const RankNeeds& a, const RankNeeds& b) {
  return std::tie(a.cpu_milli, a.memory_bytes, a.gpu_count, a.gpu_milli, a.gpu_models) ==
         std::tie(b.cpu_milli, b.memory_bytes, b.gpu_count, b.gpu_milli, b.gpu_models);
}

}  // namespace

Room::Room(const std::vector<NodeView>& nodes, bool empty, bool schedulable_only) {
  nodes_.reserve(nodes.size());
  for (const NodeView& view : nodes) {
    if (schedulable_only && !view.schedulable) continue;
    Node node{view.node_id, empty ? view.cpu_milli_total : view.cpu_milli_free,
              empty ? view.memory_total : view.memory_free, view.devices};
    if (empty) {
      for (DeviceView& device : node.devices) device.milli_free = kWhole;
    }
    nodes_.push_back(std::move(node));
  }
}

bool Room::Accepts(const RankNeeds& needs, const DeviceView& device, size_t models_used) {
  if (!device.healthy) return false;
  if (needs.gpu_models.empty()) return true;
  const auto end = needs.gpu_models.begin() + std::min(models_used, needs.gpu_models.size());
  return std::find(needs.gpu_models.begin(), end, device.model) != end;
}

// At most `most` ranks: counting stops there.
int Room::Fits(const Node& node, const RankNeeds& needs, int most, size_t models_used) {
  int64_t fits = most;
  if (needs.cpu_milli > 0) fits = std::min(fits, node.cpu_milli / needs.cpu_milli);
  if (needs.memory_bytes > 0) fits = std::min(fits, node.memory / needs.memory_bytes);
  if (fits <= 0 || (needs.gpu_count == 0 && needs.gpu_milli == 0)) {
    return static_cast<int>(std::max<int64_t>(0, fits));
  }
  int64_t slots = 0;
  for (const DeviceView& device : node.devices) {
    if (!Accepts(needs, device, models_used)) continue;
    if (needs.gpu_count > 0) {
      slots += device.milli_free == kWhole ? 1 : 0;
    } else {
      slots += device.milli_free / needs.gpu_milli;
    }
  }
  if (needs.gpu_count > 0) slots /= needs.gpu_count;
  return static_cast<int>(std::min(fits, slots));
}

// Takes the devices of one rank that is known to fit: whole devices from the smallest link island
// that holds them all (else by island and index), a fraction from the fullest device that can.
std::vector<std::string> Room::Devices(Node* node, const RankNeeds& needs, size_t models_used) {
  std::vector<std::string> uuids;
  if (needs.gpu_count > 0) {
    std::map<int32_t, std::vector<DeviceView*>> islands;
    for (DeviceView& device : node->devices) {
      if (device.milli_free == kWhole && Accepts(needs, device, models_used)) {
        islands[device.link_island].push_back(&device);
      }
    }
    const size_t count = static_cast<size_t>(needs.gpu_count);
    const std::vector<DeviceView*>* best = nullptr;
    for (const auto& [island, devices] : islands) {
      if (devices.size() >= count && (best == nullptr || devices.size() < best->size())) {
        best = &devices;
      }
    }
    std::vector<DeviceView*> chosen;
    if (best != nullptr) chosen = *best;
    for (const auto& [island, devices] : islands) {
      if (best == nullptr) chosen.insert(chosen.end(), devices.begin(), devices.end());
    }
    for (size_t i = 0; i < count && i < chosen.size(); ++i) {
      chosen[i]->milli_free = 0;
      uuids.push_back(chosen[i]->uuid);
    }
  } else if (needs.gpu_milli > 0) {
    DeviceView* best = nullptr;
    for (DeviceView& device : node->devices) {
      if (device.milli_free < needs.gpu_milli || !Accepts(needs, device, models_used)) continue;
      if (best == nullptr || device.milli_free < best->milli_free) best = &device;
    }
    if (best != nullptr) {
      best->milli_free -= needs.gpu_milli;
      uuids.push_back(best->uuid);
    }
  }
  return uuids;
}

// Groups of equal needs, largest needs first; ranks rise within a group.
Room::Grouped Room::Group(const WaitingRun& run) {
  Grouped groups;
  for (size_t rank = 0; rank < run.ranks.size(); ++rank) {
    auto found = std::find_if(groups.begin(), groups.end(), [&](const auto& group) {
      return SameNeeds(group.first, run.ranks[rank]);
    });
    if (found == groups.end()) {
      groups.push_back({run.ranks[rank], {}});
      found = groups.end() - 1;
    }
    found->second.push_back(static_cast<int32_t>(rank));
  }
  std::stable_sort(groups.begin(), groups.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first.gpu_count, a.first.gpu_milli, a.first.cpu_milli, a.first.memory_bytes) >
           std::tie(b.first.gpu_count, b.first.gpu_milli, b.first.cpu_milli, b.first.memory_bytes);
  });
  return groups;
}

// Pack: the tightest node that holds all that is left, else the node that holds most. Spread: among
// nodes with fewest ranks of this group, the emptiest.
size_t Room::NextNode(const RankNeeds& needs, int left, bool spread, size_t models_used,
                      const std::set<std::string>& avoid, const std::map<size_t, int>& used) const {
  size_t best = kNone;
  std::tuple<int64_t, int64_t, int64_t> best_score;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (!avoid.empty() && avoid.contains(nodes_[i].id)) continue;
    const int fits = Fits(nodes_[i], needs, left, models_used);
    if (fits == 0) continue;
    int64_t free_devices = 0;
    for (const DeviceView& device : nodes_[i].devices) free_devices += device.milli_free;
    std::tuple<int64_t, int64_t, int64_t> score;  // smaller is better
    if (spread) {
      const auto it = used.find(i);
      score = {it == used.end() ? 0 : it->second, -free_devices, -nodes_[i].cpu_milli};
    } else {
      score = {left - fits, free_devices, nodes_[i].cpu_milli};
    }
    if (best == kNone || score < best_score) {
      best = i;
      best_score = score;
    }
  }
  return best;
}

bool Room::TakeGroup(const RankNeeds& needs, const std::vector<int32_t>& ranks, bool spread,
                     size_t models_used, const std::set<std::string>& avoid,
                     std::map<size_t, std::map<int32_t, std::vector<std::string>>>* taken) {
  std::map<size_t, int> used;
  size_t next = 0;
  while (next < ranks.size()) {
    const int left = static_cast<int>(ranks.size() - next);
    const size_t chosen = NextNode(needs, left, spread, models_used, avoid, used);
    if (chosen == kNone) return false;
    const int here = spread ? 1 : Fits(nodes_[chosen], needs, left, models_used);
    Node& node = nodes_[chosen];
    for (int i = 0; i < here; ++i, ++next) {
      node.cpu_milli -= needs.cpu_milli;
      node.memory -= needs.memory_bytes;
      (*taken)[chosen][ranks[next]] = Devices(&node, needs, models_used);
      ++used[chosen];
    }
  }
  return true;
}

std::optional<Placement> Room::Take(const WaitingRun& run, const std::set<std::string>& avoid) {
  if (run.ranks.empty()) return std::nullopt;
  const Grouped groups = Group(run);
  size_t alternatives = 1;
  for (const auto& [needs, ranks] : groups) {
    alternatives = std::max(alternatives, needs.gpu_models.size());
  }
  // Accepted models are tried best first: all ranks on the best one, then with the next allowed.
  for (size_t models_used = 1; models_used <= alternatives; ++models_used) {
    // Cheap refusal first, so that a full cluster costs no copy.
    const bool hopeless = std::any_of(groups.begin(), groups.end(), [&](const auto& group) {
      int64_t left = static_cast<int64_t>(group.second.size());
      for (const Node& node : nodes_) {
        if (left <= 0) break;
        if (!avoid.empty() && avoid.contains(node.id)) continue;
        left -= Fits(node, group.first, static_cast<int>(left), models_used);
      }
      return left > 0;
    });
    if (hopeless) continue;
    const bool may_fail = groups.size() > 1;
    std::vector<Node> before;
    if (may_fail) before = nodes_;
    std::map<size_t, std::map<int32_t, std::vector<std::string>>> taken;
    const bool all = std::all_of(groups.begin(), groups.end(), [&](const auto& group) {
      return TakeGroup(group.first, group.second, run.spread, models_used, avoid, &taken);
    });
    if (!all) {
      nodes_ = std::move(before);
      continue;
    }
    Placement placement;
    placement.run_uid = run.run_uid;
    for (auto& [node, devices] : taken) {
      PlannedMember member;
      member.node_id = nodes_[node].id;
      for (auto& [rank, uuids] : devices) {
        member.ranks.push_back(rank);
        member.rank_devices.push_back(std::move(uuids));
      }
      placement.members.push_back(std::move(member));
    }
    std::sort(placement.members.begin(), placement.members.end(),
              [](const auto& a, const auto& b) { return a.ranks.front() < b.ranks.front(); });
    return placement;
  }
  return std::nullopt;
}

int Room::LargestOnOneNode(const RankNeeds& needs) const {
  int largest = 0;
  for (const Node& node : nodes_) {
    largest = std::max(largest, Fits(node, needs, 1 << 20, needs.gpu_models.size()));
  }
  return largest;
}

int Room::Count(const RankNeeds& needs) const {
  int64_t count = 0;
  for (const Node& node : nodes_) count += Fits(node, needs, 1 << 20, needs.gpu_models.size());
  return static_cast<int>(std::min<int64_t>(count, 1 << 20));
}

int Room::LargestFreeGpus(const std::vector<std::string>& models) const {
  RankNeeds any;
  any.gpu_models = models;
  int largest = 0;
  for (const Node& node : nodes_) {
    int free = 0;
    for (const DeviceView& device : node.devices) {
      free += device.milli_free == kWhole && Accepts(any, device, models.size()) ? 1 : 0;
    }
    largest = std::max(largest, free);
  }
  return largest;
}

int64_t Room::LargestFreeCpuMilli() const {
  int64_t largest = 0;
  for (const Node& node : nodes_) largest = std::max(largest, node.cpu_milli);
  return largest;
}

int64_t Room::LargestFreeMemory() const {
  int64_t largest = 0;
  for (const Node& node : nodes_) largest = std::max(largest, node.memory);
  return largest;
}

}  // namespace trainyard::placement
