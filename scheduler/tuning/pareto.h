// The best trials when several metrics count. Pure.
#ifndef TRAINYARD_SCHEDULER_TUNING_PARETO_H_
#define TRAINYARD_SCHEDULER_TUNING_PARETO_H_

#include <cstdint>
#include <vector>

#include "scheduler/tuning/history.h"

namespace trainyard::tuning {

// Whether the trial keeps to every metric's safety threshold.
bool IsSafe(const Entry& entry, const History& history, const v1::StudySpec& spec);

// Ids of succeeded trials that no other one dominates (at least as good in every metric, better in
// one), best first metric first. Metrics with a safety threshold are limits: trials that break one
// count only where no trial keeps all. O(n^2) at worst.
std::vector<int32_t> ParetoFront(const History& history, const v1::StudySpec& spec);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_PARETO_H_
