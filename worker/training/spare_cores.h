// Whether every rank has a core to spare for the thread that reduces gradients beside the backward
// pass. Launchers bind ranks to cores, nodes differ in cores: what each may run on counts, and all
// ranks get one answer, because reductions in buckets are other calls than one of the whole.
#ifndef TRAINYARD_WORKER_TRAINING_SPARE_CORES_H_
#define TRAINYARD_WORKER_TRAINING_SPARE_CORES_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "worker/training/communicator.h"

namespace trainyard::training {

// One bit a core.
using CoreMask = std::array<int64_t, 16>;

// The cores that this thread may run on; all when that cannot be told.
CoreMask CoresOfThread();

// `mine`: of this rank, which is number `local_rank` of `local_ranks` on its node; the ranks of a
// node follow each other. True when every rank has two cores at least, and the cores of each node's
// ranks are twice as many as those ranks. Collective; the same answer on all ranks.
absl::StatusOr<bool> EveryRankHasSpareCore(const CoreMask& mine, int local_rank, int local_ranks,
                                           Communicator* communicator);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_SPARE_CORES_H_
