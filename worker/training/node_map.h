// Which ranks are on which node, as MPI knows it; found together when a gang starts. Immutable.
#ifndef TRAINYARD_WORKER_TRAINING_NODE_MAP_H_
#define TRAINYARD_WORKER_TRAINING_NODE_MAP_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/training/rank_context.h"

namespace trainyard::training {

struct NodeMap {
  struct Node {
    std::string host;
    std::vector<int> ranks;  // of the world, rising
  };
  std::vector<Node> nodes;  // by their first rank
  int node = 0;             // this rank's
  int local_rank = 0;       // its place in nodes[node].ranks

  const Node& mine() const { return nodes[static_cast<size_t>(node)]; }
  int smallest() const;  // ranks of the node with the fewest
  int largest() const;
};

// Collective over MPI's world. `pretend`: every so many ranks are a node; 0: those that share
// memory.
absl::StatusOr<NodeMap> FindNodes(const RankContext& context, int pretend);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_NODE_MAP_H_
