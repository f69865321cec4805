// Collectives on the memory of GPUs: the plug-in libtrainyard_nccl.so, loaded where a driver
// answers. Pointers given to the communicator are of the rank's GPU; a call is ordered behind what
// the GPU's default stream was given, and has ended when it returns (or Wait() does).
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
  // GPU by local rank. `host` joins the ranks and outlives the result. Collective.
  static absl::StatusOr<std::unique_ptr<DeviceCommunicator>> Create(const RankContext& context,
                                                                    const trainyard_nccl_api* nccl,
                                                                    Communicator* host);
  // Between host memory and that of the GPU, either way.
  virtual absl::Status Copy(void* to, const void* from, size_t bytes) = 0;
};

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_DEVICE_COMMUNICATOR_H_
