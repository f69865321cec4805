// How much a study may still have to gain. Source: Makarova and others, "Automatic termination for
// hyperparameter optimization" (2022): what the model expects at worst of the best trial, less what
// it can hope for anywhere. Pure.
#ifndef TRAINYARD_SCHEDULER_TUNING_REGRET_H_
#define TRAINYARD_SCHEDULER_TUNING_REGRET_H_

#include <optional>

#include "scheduler/tuning/history.h"

namespace trainyard::tuning {

// In units of the first metric, not below 0. Nothing while fewer than twice StartTrials have
// succeeded, or when all of them measured the same.
std::optional<double> EstimatedRegret(const History& history);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_REGRET_H_
