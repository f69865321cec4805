// What every search algorithm is: a function from a study's history and a seed to the next point.
// A sampler may cache, but its answer depends on the arguments alone, so that a study can be
// replayed. Thread-compatible.
#ifndef TRAINYARD_SCHEDULER_TUNING_SAMPLER_H_
#define TRAINYARD_SCHEDULER_TUNING_SAMPLER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "scheduler/tuning/history.h"
#include "scheduler/tuning/space.h"

namespace trainyard::tuning {

struct Ask {
  int32_t id = 0;     // of the trial to be proposed
  int32_t index = 0;  // id less the trials that the spec gave, from 0
  uint64_t seed = 0;  // of this trial and attempt
  uint64_t study_seed = 0;
  int attempt = 0;  // above 0: the earlier answers were duplicates
  // Points proposed in the same call, not yet in the history.
  const std::vector<Point>* batch = nullptr;
};

class Sampler {
 public:
  virtual ~Sampler() = default;
  virtual Point Propose(const History& history, const Ask& ask) = 0;
  // The trial whose checkpoint the proposal goes on from; 0: none.
  virtual int32_t Origin(const History&, const Ask&) { return 0; }
  // Whether equal points are part of the method, whatever the spec says about duplicates.
  virtual bool MayRepeat() const { return false; }
};

class Lessons;  // transfer.h

// The sampler of the spec's algorithm. All arguments must outlive it; `lessons` may be null.
std::unique_ptr<Sampler> MakeSampler(const v1::StudySpec& spec, const Space& space,
                                     const Lessons* lessons);

// Independent uniform draws on the warped axes.
std::unique_ptr<Sampler> MakeRandomSampler(const Space& space);
// Scrambled Sobol' points in order of trial index; see sobol.h.
std::unique_ptr<Sampler> MakeSobolSampler(const Space& space);
// Every point of a finite space in order, then around again.
std::unique_ptr<Sampler> MakeGridSampler(const Space& space);
// CMA-ES with margin; see cma_sampler.cc.
std::unique_ptr<Sampler> MakeCmaSampler(const v1::StudySpec& spec, const Space& space);
// Population based training; see pbt.cc.
std::unique_ptr<Sampler> MakePbtSampler(const v1::StudySpec& spec, const Space& space);
// Parzen densities at the furthest budget; see bohb.cc.
std::unique_ptr<Sampler> MakeBohbSampler(const v1::StudySpec& spec, const Space& space);

// One uniform draw; also what others fall back on.
Point DrawUniform(const Space& space, uint64_t seed);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_SAMPLER_H_
