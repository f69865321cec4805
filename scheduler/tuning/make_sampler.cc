// Which sampler a spec gets. See sampler.h.
#include "scheduler/tuning/default_sampler.h"
#include "scheduler/tuning/gp_sampler.h"
#include "scheduler/tuning/sampler.h"
#include "scheduler/tuning/tpe.h"

namespace trainyard::tuning {

std::unique_ptr<Sampler> MakeSampler(const v1::StudySpec& spec, const Space& space,
                                     const Lessons* lessons) {
  switch (spec.algorithm()) {
    case v1::StudySpec::RANDOM:
      return MakeRandomSampler(space);
    case v1::StudySpec::GRID:
      return MakeGridSampler(space);
    case v1::StudySpec::SOBOL:
      return MakeSobolSampler(space);
    case v1::StudySpec::GP:
      return MakeGpSampler(spec, space, lessons);
    case v1::StudySpec::TPE:
      return MakeTpeSampler(spec, space);
    case v1::StudySpec::CMA_ES:
      return MakeCmaSampler(spec, space);
    case v1::StudySpec::PBT:
      return MakePbtSampler(spec, space);
    case v1::StudySpec::BOHB:
      return MakeBohbSampler(spec, space);
    default:
      return MakeDefaultSampler(spec, space, lessons);
  }
}

}  // namespace trainyard::tuning
