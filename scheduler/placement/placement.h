// Placement: a snapshot of the cluster in, a plan out. Pure: no clock, no thread, no I/O; equal
// snapshots give equal plans. The scheduler checks every item of a plan again when it applies it.
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_PLACEMENT_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_PLACEMENT_H_

#include <cstdint>
#include <string>
#include <vector>

namespace trainyard::placement {

struct DeviceView {
  std::string uuid;
  std::string model;
  int32_t index = 0;
  int64_t memory_bytes = 0;
  int32_t numa_node = 0;
  int32_t link_island = 0;
  int32_t milli_free = 1000;  // 1000: wholly free
  bool healthy = true;
};
struct NodeView {
  std::string node_id;
  bool schedulable = true;  // connected, not draining, not quarantined
  std::string unschedulable_reason;
  int64_t cpu_milli_total = 0;
  int64_t cpu_milli_free = 0;
  int64_t memory_total = 0;
  int64_t memory_free = 0;
  std::vector<DeviceView> devices;
};
// What one rank needs.
struct RankNeeds {
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;
  int32_t gpu_count = 0;
  int32_t gpu_milli = 0;
  std::vector<std::string> gpu_models;  // best first; empty: any
};
struct WaitingRun {
  uint64_t run_uid = 0;
  uint64_t owner_uid = 0;  // study or job: what a fair share is charged to
  std::string project;
  std::string principal;
  std::vector<RankNeeds> ranks;  // one per rank; all or none are placed
  bool spread = false;
  int32_t priority = 0;
  int64_t queued_us = 0;
  int64_t attained_device_us = 0;
  std::vector<std::string> avoid_nodes;  // failed there before
  bool hold = false;
  bool preemptible = false;
};
struct RunningRun {
  uint64_t run_uid = 0;
  uint64_t owner_uid = 0;
  std::string project;
  std::string principal;
  int32_t priority = 0;
  int64_t started_us = 0;
  int64_t last_checkpoint_us = 0;  // 0: none
  int64_t attained_device_us = 0;
  int64_t deadline_us = 0;  // by its time limit; 0: none
  bool preemptible = false;
  struct Slice {
    std::string node_id;
    int64_t cpu_milli = 0;
    int64_t memory_bytes = 0;
    std::vector<std::string> device_uuids;
    int32_t gpu_milli = 1000;  // of each device
  };
  std::vector<Slice> slices;
};
struct Snapshot {
  int64_t now_us = 0;
  std::vector<NodeView> nodes;
  std::vector<WaitingRun> waiting;  // any order
  std::vector<RunningRun> running;
};

struct PlannedMember {
  std::string node_id;
  std::vector<int32_t> ranks;                          // global rank numbers, rising
  std::vector<std::vector<std::string>> rank_devices;  // parallel to ranks
};
struct Placement {
  uint64_t run_uid = 0;
  std::vector<PlannedMember> members;  // member 0 holds rank 0
};
struct Preemption {
  uint64_t run_uid = 0;
  std::string reason;
};
// Why a run waits. Reasons: NO_CAPACITY, WAITING_FOR_NODES, WAITING_FOR_RESOURCES, WAITING_BEHIND
// (common/reasons.cc).
struct Explanation {
  uint64_t run_uid = 0;
  std::string reason;
  std::string message;             // "needs 8 GPUs on one node, largest free is 4"
  int32_t position = 0;            // from 1
  std::vector<uint64_t> blockers;  // runs ahead, at most 10
  std::vector<std::string> counterfactuals;
  int64_t estimated_start_us = 0;  // 0: unknown
  int64_t estimate_band_us = 0;
};
struct Plan {
  std::vector<Placement> placements;
  std::vector<Preemption> preemptions;
  std::vector<Explanation> explanations;  // for every run still waiting
};

struct Policy {
  std::string name = "fifo";
};

// O(waiting x nodes) at worst. Never fails: what cannot be placed is explained.
Plan MakePlan(const Snapshot& snapshot, const Policy& policy);

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_PLACEMENT_H_
