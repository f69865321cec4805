// TF_CONFIG and CLUSTER_SPEC: who else is in the gang, as the managed services tell it. Pure;
// thread-safe.
#ifndef TRAINYARD_WORKER_CORE_CLUSTER_ENV_H_
#define TRAINYARD_WORKER_CORE_CLUSTER_ENV_H_

#include <string>
#include <vector>

#include "trainyard/agent/v1/agent.pb.h"

namespace trainyard::worker {

struct ClusterTask {
  int32_t rank = 0;
  std::string type;     // "master", "worker", "evaluator"
  std::string address;  // host:port
};
using ClusterView = std::vector<ClusterTask>;  // by rank

// Where the head of the gang is reached: the first peer's address, else `fallback`.
std::string MasterAddress(const agent::v1::Assignment& assignment, const std::string& fallback);

// Where the head listens for its gang (MASTER_PORT): the first peer's port, else `fallback`.
int32_t MasterPort(const agent::v1::Assignment& assignment, int32_t fallback);

// All ranks of the gang with their addresses. Rank r is given port `master_port` + 1 + r. The
// assignment knows the task types of this member's ranks only; elsewhere rank 0 is the master and
// the others are workers.
ClusterView ViewOf(const agent::v1::Assignment& assignment, const std::string& fallback_address,
                   int32_t master_port);

// {"cluster":{"master":[..],"worker":[..]},"task":{"type","index","trial"},"job":..,
// "environment":"cloud"}; evaluators are never in "cluster".
std::string TfConfig(const agent::v1::Assignment& assignment, const ClusterView& view,
                     const agent::v1::RankSlot& slot);
// {"cluster":{"workerpool0":[..],"workerpool1":[..]},"task":..}: pool 0 the primary, 1 the workers,
// 3 the evaluators.
std::string ClusterSpec(const agent::v1::Assignment& assignment, const ClusterView& view,
                        const agent::v1::RankSlot& slot);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_CORE_CLUSTER_ENV_H_
