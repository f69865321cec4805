// Placement: a snapshot of the cluster in, a plan out. Pure: no clock, no thread, no I/O; equal
// snapshots give equal plans. The scheduler checks every item of a plan again when it applies it.
//  - Placements use devices that are free now. Room that has to be made first is a preemption (or a
//    resize) together with a reservation: what the victims free is held for the run it is freed
//    for.
//  - The caller hands Plan.reservations and Plan.memory back in the next snapshot. A gang
//    reservation ends when its run starts, ends or is held. Of the memory the caller leaves out
//    what has ended.
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_PLACEMENT_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_PLACEMENT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/placement/policy.h"
#include "scheduler/placement/snapshot.h"

namespace trainyard::placement {

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
  uint64_t for_run_uid = 0;    // who gets the devices
  int64_t lost_device_us = 0;  // work since the last checkpoint, and the restart
};
// An elastic run goes on with another number of ranks.
struct Resize {
  uint64_t run_uid = 0;
  int32_t ranks_from = 0;
  int32_t ranks_to = 0;
  std::string reason;
  uint64_t for_run_uid = 0;            // shrink: who gets the devices
  std::vector<PlannedMember> members;  // all of it after the change; those it keeps are kept
};
// A change under which the run would start earlier than it will (what_if.h). Applied to the
// snapshot it was made from, the run starts at `start_us`.
struct Counterfactual {
  enum class Change {
    kRanks,        // value: so many ranks
    kGpus,         // value: so many GPUs a rank
    kTimeLimit,    // value: a time limit, microseconds
    kPreemptible,  // it may be preempted
    kPriority,     // value: this priority
    kModel,        // text: this device model is accepted too
    kGuarantee,    // value: so many thousandths of a device guaranteed to `subject`
    kLimit,        // value: the limit of `subject`
    kTopology,     // its topology is only preferred
    kRelease,      // its hold is released
    kNodes,        // value: so many more nodes like `subject`
  };
  Change change = Change::kRanks;
  int64_t value = 0;
  std::string subject;   // team, project, user, model or node
  std::string model;     // kGuarantee, kLimit: of which the share is; empty: all devices
  int64_t start_us = 0;  // Snapshot.now_us: at once
  std::string text;      // "with 6 GPUs instead of 8 it would start now"
};
// Why a run waits. Reasons are those of common/reasons.cc: NO_CAPACITY, WAITING_FOR_NODES,
// WAITING_FOR_RESOURCES, WAITING_BEHIND, WAITING_FOR_PREEMPTION, WAITING_FOR_RESERVATION,
// WAITING_FOR_MAINTENANCE, QUOTA_EXCEEDED, QUOTA_BELOW_NEED, HELD.
struct Explanation {
  uint64_t run_uid = 0;
  std::string reason;
  std::string message;               // "needs 8 GPUs on one node, largest free is 4"
  int32_t position = 0;              // from 1
  std::vector<uint64_t> blockers;    // runs ahead, at most 10
  int64_t estimated_start_us = 0;    // 0: unknown
  int64_t estimate_band_us = 0;      // latest - earliest
  int64_t estimate_earliest_us = 0;  // 80 of 100 start between earliest and latest
  int64_t estimate_latest_us = 0;
};
struct Plan {
  std::vector<Placement> placements;
  std::vector<Preemption> preemptions;
  std::vector<Explanation> explanations;  // for every run still waiting
  std::vector<Resize> resizes;
  std::vector<Reservation> reservations;  // of kind kGang, all that are to be in force
  int64_t wake_us = 0;  // a plan may differ then although nothing happens before; 0: never
  PlanMemory memory;
};

// O(waiting x nodes) at worst. Never fails: what cannot be placed is explained, unless the caller
// does not want it (`explain`).
Plan MakePlan(const Snapshot& snapshot, const Policy& policy, bool explain = true);

// What a run is charged for: thousandths of a device. Cores count when it asks for no device,
// `policy.cores_per_device` of them as one.
int64_t ChargeMilli(const std::vector<RankNeeds>& ranks, const Policy& policy);

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_PLACEMENT_H_
