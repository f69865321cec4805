// The optimiser of studies that name no algorithm: a Gaussian process over all trials while they
// are few enough for one; beyond, whose answers take constant time, the Parzen estimator and the
// local search by turns, the more of the local search the more of the best trials it found.
#ifndef TRAINYARD_SCHEDULER_TUNING_DEFAULT_SAMPLER_H_
#define TRAINYARD_SCHEDULER_TUNING_DEFAULT_SAMPLER_H_

#include <memory>

#include "scheduler/tuning/sampler.h"
#include "scheduler/tuning/transfer.h"

namespace trainyard::tuning {

std::unique_ptr<Sampler> MakeDefaultSampler(const v1::StudySpec& spec, const Space& space,
                                            const Lessons* lessons);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_DEFAULT_SAMPLER_H_
