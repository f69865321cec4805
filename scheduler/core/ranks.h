// What the ranks of a run are: one per replica and process of every pool but evaluators. Rank
// numbers go through the pools in order. Pure; thread-safe.
#ifndef TRAINYARD_SCHEDULER_CORE_RANKS_H_
#define TRAINYARD_SCHEDULER_CORE_RANKS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "trainyard/v1/spec.pb.h"

namespace trainyard::core {

inline constexpr int kRanksMax = 16384;

// One rank: its place in the task list and its share of the replica's resources.
struct RankNeed {
  int32_t rank = 0;
  std::string task_type;  // the pool's role
  int32_t task_index = 0;
  int64_t cpu_milli = 0;
  int64_t memory_bytes = 0;
  int32_t gpu_count = 0;
  int32_t gpu_milli = 0;                     // of one device, when a fraction was asked for
  const v1::Resources* resources = nullptr;  // of the pool: accepted models; lives in the spec
};
std::vector<RankNeed> RanksOf(const v1::JobSpec& spec);

// The fewest ranks the job may run with: those of minReplicas, all of them without it. The ranks
// that are left out are the last ones.
int32_t FewestRanks(const v1::JobSpec& spec);

// INVALID_ARGUMENT when no rank would run, too many would, or devices do not divide among the
// processes of a replica.
absl::Status CheckRanks(const v1::JobSpec& spec);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_RANKS_H_
