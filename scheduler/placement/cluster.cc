// See cluster.h: nodes, what is free on them, and what one rank takes. Choosing nodes is in fit.cc.
#include "scheduler/placement/cluster.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace trainyard::placement {
namespace {

constexpr int32_t kWhole = 1000;

bool Accepts(const Needs& needs, const Device& device, int models) {
  if (!device.usable || device.profile != needs.profile) return false;
  if (device.memory_bytes < needs.gpu_memory_bytes) return false;
  if (needs.models.empty()) return true;
  const auto end = needs.models.begin() + std::min<ptrdiff_t>(models, std::ssize(needs.models));
  return std::find(needs.models.begin(), end, device.model) != end;
}

bool AnyDevice(const Needs& needs) {
  return needs.models.empty() && needs.profile == 0 && needs.gpu_memory_bytes == 0;
}

}  // namespace

int32_t Cluster::Find(absl::string_view node_id) const {
  const int32_t name = names_->Find(node_id);
  return name < 0 || At(name) >= by_name_.size() ? -1 : by_name_[At(name)];
}

int32_t Cluster::SetNode(const NodeView& view) {
  const int32_t name = names_->Id(view.node_id);
  if (At(name) >= by_name_.size()) by_name_.resize(At(name) + 1, -1);
  if (by_name_[At(name)] < 0) {
    by_name_[At(name)] = size();
    nodes_.emplace_back();
    indexed_.push_back(-1);
  }
  const int32_t index = by_name_[At(name)];
  Index(index, false);
  Node& node = nodes_[static_cast<size_t>(index)];
  std::vector<int32_t> holders = std::move(node.holders);
  leaving_ -= node.leaving;
  const auto kept =
      std::tuple(node.kept_for, node.kept_priority, node.kept_until_us, node.kept_closed);
  node = Node{};
  node.holders = std::move(holders);
  std::tie(node.kept_for, node.kept_priority, node.kept_until_us, node.kept_closed) = kept;
  node.name = name;
  node.present = true;
  node.schedulable = view.schedulable;
  node.cpu_total = view.cpu_milli_total;
  node.cpu_free = view.cpu_milli_free;
  node.memory_total = view.memory_total;
  node.memory_free = view.memory_free;
  node.rack = names_->Id(view.rack);
  node.island = names_->Id(view.island);
  for (const auto& [label, value] : view.labels) {
    node.labels.emplace_back(names_->Id(label), names_->Id(value));
  }
  std::sort(node.labels.begin(), node.labels.end());
  for (const Taint& taint : view.taints) {
    node.taints.emplace_back(names_->Id(taint.key), names_->Id(taint.value));
  }
  if (view.available_until_us > 0) node.windows.push_back({view.available_until_us, 0, 0, true});
  auto uuids = std::make_shared<std::vector<std::string>>();
  std::set<std::string> cut;
  for (const DeviceView& device : view.devices) {
    if (!device.parent_uuid.empty()) cut.insert(device.parent_uuid);
  }
  for (const DeviceView& from : view.devices) {
    Device device;
    uuids->push_back(from.uuid);
    device.model = names_->Id(from.model);
    device.profile = names_->Id(from.profile);
    device.island = from.link_island;
    device.milli_free = from.milli_free;
    device.memory_bytes = from.memory_bytes;
    device.usable = from.healthy && !cut.contains(from.uuid);
    if (device.usable) {
      node.milli_free += device.milli_free;
      if (device.milli_free == kWhole && device.profile == 0) ++node.whole_free;
    }
    node.devices.push_back(std::move(device));
  }
  node.uuids = std::move(uuids);
  Index(index, true);
  ++grown_;
  vacated_.push_back(index);
  return index;
}

void Cluster::RemoveNode(int32_t node) {
  Index(node, false);
  nodes_[static_cast<size_t>(node)].present = false;
  nodes_[static_cast<size_t>(node)].schedulable = false;
}

void Cluster::SetSchedulable(int32_t node, bool schedulable) {
  nodes_[static_cast<size_t>(node)].schedulable = schedulable;
  Index(node, true);
  if (schedulable) ++grown_;
}

void Cluster::SetWindows(int32_t node, std::vector<Window> windows) {
  nodes_[static_cast<size_t>(node)].windows = std::move(windows);
  ++grown_;
}

void Cluster::KeepFor(int32_t node, uint64_t run_uid, int32_t priority, int64_t until_us) {
  Node& kept = nodes_[static_cast<size_t>(node)];
  kept.kept_for = run_uid;
  kept.kept_priority = priority;
  kept.kept_until_us = until_us;
  kept.kept_closed = false;
  if (run_uid == 0) ++grown_;
}

void Cluster::Index(int32_t node, bool present) {
  const auto at = static_cast<size_t>(node);
  const int32_t to = present && nodes_[at].schedulable ? nodes_[at].whole_free : -1;
  const int32_t from = indexed_[at];
  if (from == to) return;
  const uint64_t bit = uint64_t{1} << (at % 64);
  if (from >= 0) {
    by_whole_[static_cast<size_t>(from)][at / 64] &= ~bit;
    --in_whole_[static_cast<size_t>(from)];
  }
  if (to >= 0) {
    if (by_whole_.size() <= static_cast<size_t>(to)) {
      by_whole_.resize(static_cast<size_t>(to) + 1);
      in_whole_.resize(static_cast<size_t>(to) + 1);
    }
    Bits& bits = by_whole_[static_cast<size_t>(to)];
    if (bits.size() <= at / 64) bits.resize(at / 64 + 1);
    bits[at / 64] |= bit;
    ++in_whole_[static_cast<size_t>(to)];
  }
  indexed_[at] = to;
}

void Cluster::Add(const Slice& slice, int sign) {
  Node& node = nodes_[static_cast<size_t>(slice.node)];
  node.cpu_free += sign * slice.cpu_milli;
  node.memory_free += sign * slice.memory_bytes;
  for (const int16_t position : slice.devices) {
    Device& device = node.devices[static_cast<size_t>(position)];
    const bool counted = device.usable && device.profile == 0;
    if (counted && device.milli_free == kWhole) --node.whole_free;
    device.milli_free += sign * slice.gpu_milli;
    if (counted && device.milli_free == kWhole) ++node.whole_free;
    if (device.usable) node.milli_free += sign * slice.gpu_milli;
  }
  if (indexed_[static_cast<size_t>(slice.node)] >= 0) Index(slice.node, true);
}

void Cluster::Intersect(const Cluster& other) {
  for (int32_t index = 0; index < size(); ++index) {
    Node& mine = node(index);
    const Node& theirs = other.node(index);
    mine.cpu_free = std::min(mine.cpu_free, theirs.cpu_free);
    mine.memory_free = std::min(mine.memory_free, theirs.memory_free);
    for (size_t i = 0; i < mine.devices.size(); ++i) {
      Device& device = mine.devices[i];
      const int32_t lost = device.milli_free - theirs.devices[i].milli_free;
      if (lost <= 0) continue;
      const bool counted = device.usable && device.profile == 0;
      if (counted && device.milli_free == kWhole) --mine.whole_free;
      device.milli_free -= lost;
      if (device.usable) mine.milli_free -= lost;
    }
    if (indexed_[At(index)] >= 0) Index(index, true);
  }
}

void Cluster::Leave(const Slice& slice, bool begins) {
  Node& node = nodes_[static_cast<size_t>(slice.node)];
  const int sign = begins ? 1 : -1;
  node.cpu_leaving += sign * slice.cpu_milli;
  node.memory_leaving += sign * slice.memory_bytes;
  node.leaving += sign;
  leaving_ += sign;
  for (const int16_t position : slice.devices) {
    node.devices[static_cast<size_t>(position)].leaving += sign * slice.gpu_milli;
  }
  if (begins) return;
  ++grown_;
  vacated_.push_back(slice.node);
}

bool Cluster::Waits(const Slice& slice) const {
  const Node& at = node(slice.node);
  if (at.leaving == 0) return false;
  if (slice.cpu_milli > 0 && at.cpu_free < at.cpu_leaving) return true;
  if (slice.memory_bytes > 0 && at.memory_free < at.memory_leaving) return true;
  return std::any_of(slice.devices.begin(), slice.devices.end(), [&](int16_t position) {
    const Device& device = at.devices[static_cast<size_t>(position)];
    return device.milli_free < device.leaving;
  });
}

int Cluster::Fits(const Node& node, const Needs& needs, int most, int models) const {
  int64_t fits = most;
  if (needs.cpu_milli > 0) fits = std::min(fits, node.cpu_free / needs.cpu_milli);
  if (needs.memory_bytes > 0) fits = std::min(fits, node.memory_free / needs.memory_bytes);
  if (fits <= 0) return 0;
  if (!needs.wants_device()) return static_cast<int>(fits);
  int64_t slots = 0;
  if (needs.gpu_count > 0 && AnyDevice(needs)) {
    slots = node.whole_free / needs.gpu_count;
  } else {
    for (const Device& device : node.devices) {
      if (!Accepts(needs, device, models)) continue;
      if (needs.gpu_count > 0) {
        slots += device.milli_free == kWhole ? 1 : 0;
      } else {
        slots += std::max(0, device.milli_free) / needs.gpu_milli;
      }
    }
    if (needs.gpu_count > 0) slots /= needs.gpu_count;
  }
  return static_cast<int>(std::min(fits, slots));
}

// The devices of one rank that is known to fit: whole ones from the smallest link island that holds
// them all (else by island and position), a fraction from the fullest device that can. Those that
// nobody has to leave first come first.
Slice Cluster::Cut(int32_t index, const Needs& needs, int32_t rank, int models) {
  const Node& node = nodes_[static_cast<size_t>(index)];
  Slice slice;
  slice.node = index;
  slice.rank = rank;
  slice.cpu_milli = needs.cpu_milli;
  slice.memory_bytes = needs.memory_bytes;
  if (needs.gpu_count > 0) {
    struct Candidate {
      bool leaves;
      int32_t in_island;
      int32_t island;
      int16_t position;
    };
    std::vector<Candidate> candidates;
    for (size_t i = 0; i < node.devices.size(); ++i) {
      const Device& device = node.devices[i];
      if (device.milli_free != kWhole || !Accepts(needs, device, models)) continue;
      candidates.push_back({device.leaving > 0, 0, device.island, static_cast<int16_t>(i)});
    }
    for (Candidate& candidate : candidates) {
      for (const Candidate& other : candidates) {
        if (other.island == candidate.island && !other.leaves) ++candidate.in_island;
      }
      // An island that cannot hold all of it comes after those that can.
      if (candidate.in_island < needs.gpu_count) candidate.in_island = 1 << 20;
    }
    std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
      return std::tie(a.leaves, a.in_island, a.island, a.position) <
             std::tie(b.leaves, b.in_island, b.island, b.position);
    });
    for (int32_t i = 0; i < needs.gpu_count; ++i) {
      slice.devices.push_back(candidates[static_cast<size_t>(i)].position);
    }
  } else if (needs.gpu_milli > 0) {
    slice.gpu_milli = needs.gpu_milli;
    int best = -1;
    std::tuple<bool, int32_t> best_score;
    for (size_t i = 0; i < node.devices.size(); ++i) {
      const Device& device = node.devices[i];
      if (device.milli_free < needs.gpu_milli || !Accepts(needs, device, models)) continue;
      const std::tuple<bool, int32_t> score{device.milli_free - needs.gpu_milli < device.leaving,
                                            device.milli_free};
      if (best < 0 || score < best_score) {
        best = static_cast<int>(i);
        best_score = score;
      }
    }
    slice.devices.push_back(static_cast<int16_t>(best));
  }
  return slice;
}

bool Cluster::CutExactly(int32_t index, const Needs& needs, int32_t rank,
                         const std::vector<std::string>& uuids, Slice* slice) const {
  const Node& at = node(index);
  const auto wanted = needs.gpu_milli > 0 ? size_t{1} : static_cast<size_t>(needs.gpu_count);
  if (at.cpu_free < needs.cpu_milli || at.memory_free < needs.memory_bytes) return false;
  if (uuids.size() != wanted) return false;
  *slice = Slice{index, rank, kWhole, needs.cpu_milli, needs.memory_bytes, {}};
  if (needs.gpu_milli > 0) slice->gpu_milli = needs.gpu_milli;
  for (const std::string& uuid : uuids) {
    const auto found = std::find(at.uuids->begin(), at.uuids->end(), uuid);
    if (found == at.uuids->end()) return false;
    const auto position = static_cast<int16_t>(found - at.uuids->begin());
    const Device& device = at.devices[static_cast<size_t>(position)];
    if (!Accepts(needs, device, 1 << 20) || device.milli_free < slice->gpu_milli) return false;
    slice->devices.push_back(position);
  }
  return true;
}

Cluster Cluster::Emptied(bool all_nodes) const {
  Cluster out = *this;
  out.leaving_ = 0;
  for (int32_t i = 0; i < out.size(); ++i) {
    Node& node = out.nodes_[static_cast<size_t>(i)];
    out.Index(i, false);
    if (all_nodes && node.present) node.schedulable = true;
    node.cpu_free = node.cpu_total;
    node.memory_free = node.memory_total;
    node.cpu_leaving = node.memory_leaving = 0;
    node.leaving = 0;
    node.whole_free = 0;
    node.milli_free = 0;
    for (Device& device : node.devices) {
      device.milli_free = kWhole;
      device.leaving = 0;
      if (!device.usable) continue;
      node.milli_free += kWhole;
      if (device.profile == 0) ++node.whole_free;
    }
    out.Index(i, true);
  }
  return out;
}

int64_t Cluster::ChargeableMilli(int64_t cores_per_device) const {
  int64_t devices = 0;
  int64_t cores = 0;
  for (const Node& node : nodes_) {
    if (!node.present || !node.schedulable) continue;
    for (const Device& device : node.devices) devices += device.usable ? kWhole : 0;
    cores += node.cpu_total;
  }
  return devices > 0 ? devices : cores / std::max<int64_t>(1, cores_per_device);
}

int64_t Cluster::CapacityMilli(int64_t cores_per_device) const {
  return std::max<int64_t>(kWhole, ChargeableMilli(cores_per_device));
}

}  // namespace trainyard::placement
