// See default_sampler.h.
#include "scheduler/tuning/default_sampler.h"

#include "scheduler/tuning/gp_sampler.h"
#include "scheduler/tuning/tpe.h"

namespace trainyard::tuning {
namespace {

constexpr size_t kModelledMax = 1000;  // trials; a suggestion takes some 0.2 s there

class DefaultSampler : public Sampler {
 public:
  DefaultSampler(const v1::StudySpec& spec, const Space& space, const Lessons* lessons)
      : gp_(MakeGpSampler(spec, space, lessons)), tpe_(MakeTpeSampler(spec, space)) {}

  Point Propose(const History& history, const Ask& ask) override {
    const bool small = history.entries().size() <= kModelledMax;
    return (small ? gp_ : tpe_)->Propose(history, ask);
  }

 private:
  std::unique_ptr<Sampler> gp_;
  std::unique_ptr<Sampler> tpe_;
};

}  // namespace

std::unique_ptr<Sampler> MakeDefaultSampler(const v1::StudySpec& spec, const Space& space,
                                            const Lessons* lessons) {
  return std::make_unique<DefaultSampler>(spec, space, lessons);
}

}  // namespace trainyard::tuning
