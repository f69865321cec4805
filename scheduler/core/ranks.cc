// See ranks.h.
#include "scheduler/core/ranks.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/errors.h"

namespace trainyard::core {
namespace {

bool Counts(const v1::WorkerPool& pool) { return pool.role() != "evaluator"; }

int64_t Processes(const v1::JobSpec& spec) {
  return std::max(1, spec.launch().processes_per_replica());
}

std::string RoleOf(const v1::WorkerPool& pool, int index) {
  if (!pool.role().empty()) return pool.role();
  return index == 0 ? "master" : "worker";
}

}  // namespace

std::vector<RankNeed> RanksOf(const v1::JobSpec& spec) {
  const int64_t processes = Processes(spec);
  std::vector<RankNeed> ranks;
  for (int p = 0; p < spec.worker_pools_size(); ++p) {
    const v1::WorkerPool& pool = spec.worker_pools(p);
    if (!Counts(pool)) continue;
    const v1::Resources& resources = pool.resources();
    for (int32_t task = 0; task < pool.replica_count() * processes; ++task) {
      RankNeed need;
      need.rank = static_cast<int32_t>(ranks.size());
      need.task_type = RoleOf(pool, p);
      need.task_index = task;
      need.cpu_milli = resources.cpu_milli() / processes;
      need.memory_bytes = resources.memory_bytes() / processes;
      need.gpu_count = static_cast<int32_t>(resources.gpu_count() / processes);
      need.gpu_milli = resources.gpu_milli();
      need.resources = &resources;
      ranks.push_back(std::move(need));
    }
  }
  return ranks;
}

int32_t FewestRanks(const v1::JobSpec& spec) {
  int64_t replicas = 0;
  for (const v1::WorkerPool& pool : spec.worker_pools()) {
    if (Counts(pool)) replicas += std::max(0, pool.replica_count());
  }
  const int64_t fewest = spec.launch().min_replicas();
  return static_cast<int32_t>((fewest > 0 ? std::min(fewest, replicas) : replicas) *
                              Processes(spec));
}

absl::Status CheckRanks(const v1::JobSpec& spec) {
  const int64_t processes = Processes(spec);
  int64_t ranks = 0;
  for (int p = 0; p < spec.worker_pools_size(); ++p) {
    const v1::WorkerPool& pool = spec.worker_pools(p);
    const std::string field = absl::StrCat("spec.workerPoolSpecs[", p, "]");
    if (pool.replica_count() < 0) {
      return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
                       absl::StrCat("a pool cannot have ", pool.replica_count(), " replicas"),
                       "ask for 1 or more", absl::StrCat(field, ".replicaCount"));
    }
    if (!Counts(pool)) continue;
    ranks += pool.replica_count() * processes;
    if (pool.resources().gpu_count() % processes != 0) {
      return MakeError(absl::StatusCode::kInvalidArgument, "CONFLICT",
                       absl::StrCat(pool.resources().gpu_count(), " GPUs do not divide among ",
                                    processes, " processes of a replica"),
                       "make the number of GPUs a multiple of the number of processes",
                       absl::StrCat(field, ".machineSpec.acceleratorCount"));
    }
  }
  if (ranks < 1) {
    return MakeError(absl::StatusCode::kInvalidArgument, "MISSING_FIELD",
                     "the job has no worker: no pool has a replica",
                     "give the first pool a replica", "spec.workerPoolSpecs[0].replicaCount");
  }
  if (ranks > kRanksMax) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE",
        absl::StrCat("the job asks for ", ranks, " processes, at most ", kRanksMax, " are allowed"),
        "ask for fewer replicas", "spec.workerPoolSpecs");
  }
  return absl::OkStatus();
}

}  // namespace trainyard::core
