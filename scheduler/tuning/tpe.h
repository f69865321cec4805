// Tree-structured Parzen estimator, multivariate: two densities over whole points, one of the best
// trials and one of the others with the pending ones; the next point is the sample of the first
// that stands out most against the second. Works on conditional spaces and in constant time per
// suggestion whatever the history's length. Sources: Bergstra and others (2011); Falkner and
// others, "BOHB" (2018), for whole points; Watanabe, "Tree-structured Parzen estimator" (2023).
#ifndef TRAINYARD_SCHEDULER_TUNING_TPE_H_
#define TRAINYARD_SCHEDULER_TUNING_TPE_H_

#include <memory>

#include "scheduler/tuning/sampler.h"

namespace trainyard::tuning {

std::unique_ptr<Sampler> MakeTpeSampler(const v1::StudySpec& spec, const Space& space);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_TPE_H_
