// Bayesian optimisation: scrambled Sobol' points first, then the point of greatest expected
// improvement under a Gaussian process that sees pending trials. Every second ask looks only at a
// trust region round the best point. While the model foretells nothing, local asks are left out
// and every fourth point is spread evenly, so that a bad model is no worse than no model. Metrics
// with a safety threshold have a model each: improvement is weighted by the chance to keep it
// (Gardner and others, "Bayesian optimization with inequality constraints", 2014).
#ifndef TRAINYARD_SCHEDULER_TUNING_GP_SAMPLER_H_
#define TRAINYARD_SCHEDULER_TUNING_GP_SAMPLER_H_

#include <memory>

#include "scheduler/tuning/sampler.h"
#include "scheduler/tuning/transfer.h"

namespace trainyard::tuning {

// Trials of a study's start that are not modelled.
int StartTrials(const Space& space);

// Whether a point that was measured may be proposed again, to average noise.
bool MayMeasureAgain(const v1::StudySpec& spec);

// `lessons` may be null; else it must outlive the sampler.
std::unique_ptr<Sampler> MakeGpSampler(const v1::StudySpec& spec, const Space& space,
                                       const Lessons* lessons);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_GP_SAMPLER_H_
