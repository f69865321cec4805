// The room of a cluster, kept up to date: what is free on each node, where ranks fit, and what a
// gang takes. All ranks of a run are placed or none. Pure; not thread-safe.
//  - No device is given out twice as a whole; fractions of a device never exceed 1000.
//  - Ranks of equal needs are interchangeable, so their placing is exact; ranks of different needs
//    are placed largest first, which may miss an arrangement that exists.
//  - "Free" counts what runs that were told to stop will give back; a slice knows whether it has to
//    wait for one of them.
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_CLUSTER_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_CLUSTER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "scheduler/placement/shape.h"

namespace trainyard::placement {

struct Device {
  int32_t model = 0;
  int32_t profile = 0;
  int32_t island = 0;
  int32_t milli_free = 1000;
  int32_t leaving = 0;  // thousandths that stopping runs still hold
  int64_t memory_bytes = 0;
  bool usable = true;  // healthy, and not cut into slices
};
// What one rank holds on a node.
struct Slice {
  int32_t node = 0;
  int32_t rank = 0;
  int32_t gpu_milli = 1000;  // of each device
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;
  std::vector<int16_t> devices;  // positions in the node
};
using Slices = std::vector<Slice>;

// A span of time in which a node takes no work, but of the runs of one calendar reservation.
struct Window {
  int64_t start_us = 0;
  int64_t end_us = 0;    // 0: for ever
  int32_t calendar = 0;  // 0: maintenance, or the node goes away
  bool leaves = false;   // the node goes away
};
struct Node {
  int32_t name = 0;  // of Names
  bool present = false;
  bool schedulable = false;
  int64_t cpu_total = 0;
  int64_t cpu_free = 0;
  int64_t memory_total = 0;
  int64_t memory_free = 0;
  int64_t cpu_leaving = 0;  // of what is free, still held by stopping runs
  int64_t memory_leaving = 0;
  int32_t whole_free = 0;  // usable whole devices
  int64_t milli_free = 0;  // of all devices
  int32_t rack = 0;
  int32_t island = 0;
  std::vector<std::pair<int32_t, int32_t>> labels;  // sorted
  std::vector<std::pair<int32_t, int32_t>> taints;
  std::vector<Window> windows;
  std::vector<Device> devices;
  std::shared_ptr<const std::vector<std::string>> uuids;  // parallel to devices
  int32_t leaving = 0;                                    // stopping slices
  std::vector<int32_t> holders;                           // runs with slices here, each once
  uint64_t kept_for = 0;      // the run that is to have it next; 0: none
  int32_t kept_priority = 0;  // of that run
  int64_t kept_until_us = 0;  // when it is expected to start; 0: unknown
  bool kept_closed = false;   // nobody starts there any more who would have to make way again
};

// What besides its shape decides where a run may go.
struct Terms {
  int64_t now_us = 0;
  int64_t limit_us = 0;       // its longest running time; 0: unbounded
  bool preemptible = false;   // may be told to stop when a window begins
  bool keep_avoided = true;   // do not use nodes it failed on
  bool present_only = false;  // nodes where nothing is leaving
  uint64_t run_uid = 0;       // whose nodes may be kept for it; 0: of no run in particular
  int32_t priority = 0;
  const std::vector<char>* only = nullptr;  // by node: those it may use; null: all
};

class Cluster {
 public:
  explicit Cluster(Names* names) : names_(names) {}

  // New or changed. What `view` says is free is free: holders are told apart by Attach.
  int32_t SetNode(const NodeView& view);
  void RemoveNode(int32_t node);
  void SetSchedulable(int32_t node, bool schedulable);
  void SetWindows(int32_t node, std::vector<Window> windows);
  // From now on the node takes only the run, what can be told to stop for it, what ends before it
  // is expected to start, and what has a higher priority. `run_uid` 0: everybody again.
  void KeepFor(int32_t node, uint64_t run_uid, int32_t priority, int64_t until_us);
  // Of a kept node: from now on only the run itself and what has a higher priority starts there.
  void CloseKept(int32_t node) { nodes_[At(node)].kept_closed = true; }
  int32_t Find(absl::string_view node_id) const;  // -1: none

  // Takes room for every rank, or nothing. Pack: fewest nodes, then the tightest; spread: the
  // emptiest first. Prefers earlier models; keeps to the topology.
  bool TryTake(const Shape& shape, const Terms& terms, Slices* slices);
  // As TryTake, on the given nodes only; `nodes` in the order they are to be used.
  bool TryTakeOn(const Shape& shape, const Terms& terms, const std::vector<int32_t>& nodes,
                 Slices* slices);
  // The slice of a rank with exactly these devices, if the node has them and all else it needs.
  bool CutExactly(int32_t node, const Needs& needs, int32_t rank,
                  const std::vector<std::string>& uuids, Slice* slice) const;
  void Take(const Slice& slice) { Add(slice, -1); }
  void Give(const Slice& slice) {
    Add(slice, +1);
    ++grown_;
    vacated_.push_back(slice.node);
  }
  void Untake(const Slice& slice) { Add(slice, +1); }  // what was tried only
  // The run told to stop: its slice is free from now on, but leaves later.
  void Leave(const Slice& slice, bool begins);
  // Whether a slice uses something that has not left yet.
  bool Waits(const Slice& slice) const;

  // Keeps only the room that `other` has too, which has the same nodes.
  void Intersect(const Cluster& other);

  // A copy in which nothing runs; `all_nodes`: also those that take no work now.
  Cluster Emptied(bool all_nodes) const;

  // Ranks of `needs` that fit on the node, at most `most`, with the first `models` alternatives.
  int Fits(const Node& node, const Needs& needs, int most, int models) const;
  bool Admits(const Node& node, const Shape& shape, const Terms& terms) const;

  // The domain of the level the node lies in; 0: it does not say.
  int32_t DomainOf(const Node& node, Domain domain) const;

  const Node& node(int32_t index) const { return nodes_[static_cast<size_t>(index)]; }
  Node& node(int32_t index) { return nodes_[static_cast<size_t>(index)]; }
  int32_t size() const { return static_cast<int32_t>(nodes_.size()); }
  // Devices (or, without any, cores as devices) of all nodes that take work, in thousandths.
  int64_t ChargeableMilli(int64_t cores_per_device) const;
  // The same, and a whole device at least: to divide by.
  int64_t CapacityMilli(int64_t cores_per_device) const;
  uint64_t grown() const { return grown_; }  // rises when room is added
  bool anything_leaving() const { return leaving_ > 0; }
  const std::string& IdOf(int32_t node) const { return names_->Name(nodes_[At(node)].name); }
  const std::string& UuidOf(int32_t node, int16_t device) const {
    return (*nodes_[At(node)].uuids)[static_cast<size_t>(device)];
  }
  // Nodes on which something was given back or has left since the last call, each at least once.
  std::vector<int32_t> TakeVacated() { return std::exchange(vacated_, {}); }
  void Grow() { ++grown_; }

 private:
  static size_t At(int32_t node) { return static_cast<size_t>(node); }
  using Bits = std::vector<uint64_t>;
  struct Choice;
  void Add(const Slice& slice, int sign);
  void Index(int32_t node, bool present);
  Slice Cut(int32_t node, const Needs& needs, int32_t rank, int models);
  bool Hopeless(const Shape& shape, const Needs& needs, int64_t ranks) const;
  int32_t Next(const Shape& shape, const Needs& needs, int left, int models, const Terms& terms,
               const std::vector<int32_t>& used, const std::vector<char>* domains) const;
  int32_t NextWhole(const Shape& shape, const Needs& needs, int left, int models,
                    const Terms& terms, const std::vector<char>* domains) const;
  bool TakeGroups(const Shape& shape, int models, const Terms& terms,
                  const std::vector<char>* domains, Slices* slices);
  std::vector<std::vector<char>> Domains(const Shape& shape, int models, const Terms& terms) const;
  bool Allowed(const Node& node, const Shape& shape, const Terms& terms,
               const std::vector<char>* domains) const;

  Names* names_;
  std::vector<Node> nodes_;
  std::vector<int32_t> by_name_;   // node by its name's number, -1: none
  std::vector<Bits> by_whole_;     // nodes that take work, by whole devices free
  std::vector<int32_t> in_whole_;  // how many nodes
  std::vector<int32_t> indexed_;   // by node: its bucket, -1: none
  uint64_t grown_ = 1;
  int64_t leaving_ = 0;  // stopping slices
  std::vector<int32_t> vacated_;
};

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_CLUSTER_H_
