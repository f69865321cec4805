// Who holds the gang up: ranks compare how long each was busy and name the slow one.
#ifndef TRAINYARD_WORKER_TRAINING_STEP_TIMES_H_
#define TRAINYARD_WORKER_TRAINING_STEP_TIMES_H_

#include <string>

#include "absl/status/statusor.h"
#include "worker/training/communicator.h"

namespace trainyard::training {

struct Straggler {
  int rank = -1;  // -1: none is slow
  std::string node;
  double factor = 1;  // its busy time over the median of all
};

// `busy_seconds`: of this rank since the last time, without waiting for others. A rank is slow that
// was busy 1.5 times as long as the median (of two ranks: as the other) and 100 ms longer.
// Collective; the same answer on all ranks.
absl::StatusOr<Straggler> FindStraggler(double busy_seconds, Communicator* communicator);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_STEP_TIMES_H_
