// See node_map.h.
#include "worker/training/node_map.h"

#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "worker/training/hang.h"
#include "worker/training/mpi_session.h"

namespace trainyard::training {
namespace {

// What each rank tells all others.
struct Card {
  int first_rank = 0;  // of its node
  char host[256] = {};
};

// The lowest world rank of this rank's node.
absl::StatusOr<int> FirstRankOfNode(const RankContext& context, int pretend) {
  if (pretend > 0) return context.rank / pretend * pretend;
  MPI_Comm local = MPI_COMM_NULL;
  int code = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, context.rank, MPI_INFO_NULL,
                                 &local);
  if (code != MPI_SUCCESS) return MpiStatus(code, "finding the ranks of this node");
  int first = context.rank;
  code = MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, local);
  MPI_Comm_free(&local);
  if (code != MPI_SUCCESS) return MpiStatus(code, "finding the ranks of this node");
  return first;
}

}  // namespace

int NodeMap::smallest() const {
  size_t count = nodes[0].ranks.size();
  for (const Node& other : nodes) count = std::min(count, other.ranks.size());
  return static_cast<int>(count);
}

int NodeMap::largest() const {
  size_t count = 0;
  for (const Node& other : nodes) count = std::max(count, other.ranks.size());
  return static_cast<int>(count);
}

absl::StatusOr<NodeMap> FindNodes(const RankContext& context, int pretend) {
  auto first = FirstRankOfNode(context, pretend);
  if (!first.ok()) return first.status();
  Card mine;
  mine.first_rank = *first;
  std::snprintf(mine.host, sizeof(mine.host), "%s", NodeName().c_str());
  std::vector<Card> cards(static_cast<size_t>(context.world_size));
  const int code = MPI_Allgather(&mine, sizeof(Card), MPI_BYTE, cards.data(), sizeof(Card),
                                 MPI_BYTE, MPI_COMM_WORLD);
  if (code != MPI_SUCCESS) return MpiStatus(code, "finding the nodes");
  std::map<int, NodeMap::Node> by_first;
  for (size_t rank = 0; rank < cards.size(); ++rank) {
    NodeMap::Node& node = by_first[cards[rank].first_rank];
    node.host = cards[rank].host;
    node.ranks.push_back(static_cast<int>(rank));
  }
  NodeMap map;
  for (auto& [first_rank, node] : by_first) {
    if (first_rank == *first) {
      map.node = static_cast<int>(map.nodes.size());
      const auto at = std::find(node.ranks.begin(), node.ranks.end(), context.rank);
      map.local_rank = static_cast<int>(at - node.ranks.begin());
    }
    map.nodes.push_back(std::move(node));
  }
  return map;
}

}  // namespace trainyard::training
