// Collectives by MPI (MPI_Allreduce and friends). One per process: creating it initialises MPI,
// destroying it finalises MPI. Waits give up the core between polls, because gangs share cores.
#ifndef TRAINYARD_WORKER_TRAINING_MPI_COMMUNICATOR_H_
#define TRAINYARD_WORKER_TRAINING_MPI_COMMUNICATOR_H_

#include <memory>

#include "absl/status/statusor.h"
#include "worker/training/communicator.h"

namespace trainyard::training {

// FAILED_PRECONDITION when MPI does not know as many ranks as `context` says.
absl::StatusOr<std::unique_ptr<Communicator>> CreateMpiCommunicator(const RankContext& context);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_MPI_COMMUNICATOR_H_
