// history.jsonl in the job's folder: one JSON object an epoch, in the order of epochs. Blocking;
// the first rank alone.
#ifndef TRAINYARD_WORKER_TRAINER_HISTORY_H_
#define TRAINYARD_WORKER_TRAINER_HISTORY_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace trainyard::trainer {

struct EpochRecord {
  int64_t epoch = 0;
  double train_loss = 0;
  double loss = 0;
  double accuracy = 0;
};

// Adds a line; numbers in 17 digits, so that whoever reads them has the same ones.
absl::Status AppendHistory(const std::string& folder, const EpochRecord& record);

// Leaves the lines of epochs up to `epoch`: a run that goes on from a checkpoint trains the later
// ones again. Lines that were cut short go too. Does nothing where there is no file.
absl::Status TrimHistory(const std::string& folder, int64_t epoch);

}  // namespace trainyard::trainer

#endif  // TRAINYARD_WORKER_TRAINER_HISTORY_H_
