// The optimiser of studies that name no algorithm: a Gaussian process while the history is small
// enough for one, the Parzen estimator beyond, whose answers take constant time.
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
