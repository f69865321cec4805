// Collectives on the memory of GPUs: the plug-in libtrainyard_nccl.so, loaded where a driver
// answers. Pointers given to the communicator are of the rank's GPU; a call is ordered behind what
// the GPU's default stream (or that of Behind()) was given, and has ended when it returns (or
// Wait() does). Calls make the rank's GPU current in their thread.
//  - Ranks find each other through the host communicator (shared memory or MPI).
//  - While a call runs, its rank looks for errors of NCCL, for ranks of this node that have ended
//    and for TRAINYARD_HANG_TIMEOUT; then it aborts the communicator and says what happened.
// One thread at a time.
#ifndef TRAINYARD_WORKER_TRAINING_DEVICE_COMMUNICATOR_H_
#define TRAINYARD_WORKER_TRAINING_DEVICE_COMMUNICATOR_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/nccl/nccl_api.h"
#include "worker/training/communicator.h"

namespace trainyard::training {

// The plug-in: from TRAINYARD_NCCL_PLUGIN, from ../lib beside this program or library, or from the
// system's library path. FAILED_PRECONDITION that says what is missing: the plug-in, NCCL, a GPU.
absl::StatusOr<const trainyard_nccl_api*> LoadNccl();

class DeviceCommunicator : public Communicator {
 public:
  // `device`: this rank's GPU among those it may use; -1: by its local rank. `host` joins the ranks
  // and outlives the result. Collective: where one rank lacks the plug-in or a GPU, all say so.
  // FAILED_PRECONDITION that says what is missing, INVALID_ARGUMENT without such a GPU.
  static absl::StatusOr<std::unique_ptr<DeviceCommunicator>> Create(const RankContext& context,
                                                                    Communicator* host,
                                                                    int device = -1);
  // Calls come behind what this CUDA stream (a cudaStream_t) was given; nullptr: the default one.
  virtual absl::Status Behind(void* stream) = 0;
  // Between host memory and that of the GPU, either way.
  virtual absl::Status Copy(void* to, const void* from, size_t bytes) = 0;
};

// The same with a host communicator of its own. As CreateCommunicator() with Memory::kDevice.
absl::StatusOr<std::unique_ptr<DeviceCommunicator>> CreateDeviceCommunicator(
    const RankContext& context, int device = -1);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_DEVICE_COMMUNICATOR_H_
