// Collectives between the ranks of one node through memory that all of them map.
//  - Small messages go through slots, with one meeting of the ranks.
//  - Data in Allocate()d memory is reduced in place: each rank adds up one slice of all ranks'
//    arrays and writes it to all of them. It must lie at the same place on all ranks.
//  - Other data passes through staging buffers that stay in the cores' caches.
// Sums are formed in the order of ranks, whatever the path.
#ifndef TRAINYARD_WORKER_TRAINING_SHARED_COMMUNICATOR_H_
#define TRAINYARD_WORKER_TRAINING_SHARED_COMMUNICATOR_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/training/communicator.h"

namespace trainyard::training {

// For ranks that are processes of one node. UNAVAILABLE when they do not find each other.
absl::StatusOr<std::unique_ptr<Communicator>> CreateSharedCommunicator(const RankContext& context);

// For threads of one process as ranks, one communicator each; size 1: the single one.
absl::StatusOr<std::vector<std::unique_ptr<Communicator>>> CreateSharedCommunicators(int size);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_SHARED_COMMUNICATOR_H_
