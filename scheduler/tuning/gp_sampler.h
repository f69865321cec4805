// Bayesian optimisation: scrambled Sobol' points first, then the point of greatest expected
// improvement under a Gaussian process that sees pending trials. Every second ask looks only at a
// trust region round the best point, whose size follows successes and failures (Eriksson and
// others, "Scalable global optimization via local Bayesian optimization", 2019).
#ifndef TRAINYARD_SCHEDULER_TUNING_GP_SAMPLER_H_
#define TRAINYARD_SCHEDULER_TUNING_GP_SAMPLER_H_

#include <memory>

#include "scheduler/tuning/sampler.h"

namespace trainyard::tuning {

// Trials of a study's start that are not modelled.
int StartTrials(const Space& space);

std::unique_ptr<Sampler> MakeGpSampler(const v1::StudySpec& spec, const Space& space);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_GP_SAMPLER_H_
