// Which sampler a spec gets. See sampler.h.
#include "scheduler/tuning/sampler.h"

namespace trainyard::tuning {

std::unique_ptr<Sampler> MakeSampler(const v1::StudySpec& spec, const Space& space) {
  switch (spec.algorithm()) {
    case v1::StudySpec::RANDOM:
      return MakeRandomSampler(space);
    case v1::StudySpec::GRID:
      return MakeGridSampler(space);
    default:
      return MakeSobolSampler(space);
  }
}

}  // namespace trainyard::tuning
