// Collectives over several nodes: shared memory inside each, messages between them (node_bridge.h).
//  - An all-reduce is reduced inside each node; some ranks of the node carry a slice each to their
//    counterparts on the other nodes; then the result is shared inside.
//  - Sums are formed in the order of ranks inside a node, then in the order of nodes.
#ifndef TRAINYARD_WORKER_TRAINING_HIERARCHICAL_COMMUNICATOR_H_
#define TRAINYARD_WORKER_TRAINING_HIERARCHICAL_COMMUNICATOR_H_

#include <memory>

#include "absl/status/statusor.h"
#include "worker/training/communicator.h"

namespace trainyard::training {

// Every `pretend` ranks as a node of their own, to try this on one machine; 0: the real nodes.
// FAILED_PRECONDITION when MPI does not know as many ranks as `context` says.
absl::StatusOr<std::unique_ptr<Communicator>> CreateHierarchicalCommunicator(
    const RankContext& context, int pretend);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_HIERARCHICAL_COMMUNICATOR_H_
