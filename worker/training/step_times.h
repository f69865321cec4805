// Who holds the gang up: ranks tell how long each was busy, and name the slow one.
#ifndef TRAINYARD_WORKER_TRAINING_STEP_TIMES_H_
#define TRAINYARD_WORKER_TRAINING_STEP_TIMES_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "worker/training/communicator.h"
#include "worker/training/reporter.h"

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

// How a rank spent the time since it told the last time.
struct StepTimes {
  int64_t steps = 0;
  double busy_seconds = 0;  // in steps, without waiting for other ranks
  double wait_seconds = 0;  // for other ranks
};

// Reports step_seconds and wait_seconds, the means of a step, as this rank's metrics of `step`, and
// compares the ranks; rank 0 reports who is slow as the metric straggler. Every rank has a reporter
// of its own. Collective; the same answer on all ranks. A report that fails is in `reported`.
absl::StatusOr<Straggler> TellStepTimes(int64_t step, const StepTimes& times,
                                        Communicator* communicator, Reporter* reporter,
                                        absl::Status* reported);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_STEP_TIMES_H_
