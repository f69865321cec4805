// Local search for long histories: a small Gaussian process over the best trials and a few others
// proposes the point of greatest expected improvement round the best one. The cost does not grow
// with the history. After Eriksson and others, "Scalable global optimization via local Bayesian
// optimization" (2019), with the best trials in place of all trials of a region.
#ifndef TRAINYARD_SCHEDULER_TUNING_ELITE_SAMPLER_H_
#define TRAINYARD_SCHEDULER_TUNING_ELITE_SAMPLER_H_

#include <memory>

#include "scheduler/tuning/sampler.h"

namespace trainyard::tuning {

// For one metric without a safety threshold, and histories of more than a few hundred trials.
std::unique_ptr<Sampler> MakeEliteSampler(const Space& space);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_ELITE_SAMPLER_H_
