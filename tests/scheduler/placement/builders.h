// Scenes for placement tests in one line each.
#ifndef TRAINYARD_TESTS_SCHEDULER_PLACEMENT_BUILDERS_H_
#define TRAINYARD_TESTS_SCHEDULER_PLACEMENT_BUILDERS_H_

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/placement/placement.h"
#include "scheduler/placement/what_if.h"

namespace trainyard::placement {

inline constexpr int64_t kGiB = int64_t{1} << 30;

inline NodeView MakeNode(const std::string& id, int cores, int gpus = 0,
                         const std::string& model = "A100") {
  NodeView node;
  node.node_id = id;
  node.cpu_milli_total = node.cpu_milli_free = int64_t{1000} * cores;
  node.memory_total = node.memory_free = 64 * kGiB;
  for (int i = 0; i < gpus; ++i) {
    DeviceView device;
    device.uuid = absl::StrCat(id, "-gpu", i);
    device.model = model;
    device.index = i;
    device.link_island = i / 4;
    node.devices.push_back(device);
  }
  return node;
}

inline RankNeeds MakeNeeds(int cpu_milli, int gpus = 0, int gpu_milli = 0) {
  RankNeeds needs;
  needs.cpu_milli = cpu_milli;
  needs.memory_bytes = kGiB / 4;
  needs.gpu_count = gpus;
  needs.gpu_milli = gpu_milli;
  return needs;
}

inline WaitingRun MakeRun(uint64_t uid, int ranks, const RankNeeds& needs) {
  WaitingRun run;
  run.run_uid = uid;
  run.queued_us = static_cast<int64_t>(uid);
  run.ranks.assign(static_cast<size_t>(ranks), needs);
  return run;
}

// Uids of the runs that a plan starts, and of those it stops.
inline std::vector<uint64_t> Placed(const Plan& plan) {
  std::vector<uint64_t> uids;
  for (const Placement& placement : plan.placements) uids.push_back(placement.run_uid);
  return uids;
}
inline std::vector<uint64_t> Stopped(const Plan& plan) {
  std::vector<uint64_t> uids;
  for (const Preemption& preemption : plan.preemptions) uids.push_back(preemption.run_uid);
  return uids;
}

// The words of what would start a run.
inline std::vector<std::string> WhatStarts(const Snapshot& snapshot, uint64_t uid,
                                           const std::string& policy = "las-r") {
  std::vector<std::string> texts;
  for (const Counterfactual& change : WhatIf(snapshot, *PolicyNamed(policy), uid)) {
    texts.push_back(change.text);
  }
  return texts;
}

}  // namespace trainyard::placement

#endif  // TRAINYARD_TESTS_SCHEDULER_PLACEMENT_BUILDERS_H_
