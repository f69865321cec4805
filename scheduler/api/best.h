// Which trials of a study are best: by the goal of its metric, or, with several metrics, those that
// no other one beats in all of them (the Pareto front), then the next front. Pure.
#ifndef TRAINYARD_SCHEDULER_API_BEST_H_
#define TRAINYARD_SCHEDULER_API_BEST_H_

#include <cstdint>
#include <vector>

#include "scheduler/core/state.h"

namespace trainyard::api {

// Ids of succeeded trials with a final value of every metric, best first, ties by lower id; at most
// `count`. Values that are not finite do not take part. One metric: O(n log n); several: O(n^2) per
// front.
std::vector<int32_t> BestTrials(const v1::StudySpec& spec,
                                const std::vector<core::TrialPtr>& trials, int count);

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_BEST_H_
