// The samplers that learn nothing: random, scrambled Sobol', grid. See sampler.h.
#include <cmath>

#include "common/random.h"
#include "scheduler/tuning/sampler.h"
#include "scheduler/tuning/sobol.h"

namespace trainyard::tuning {
namespace {

class RandomSampler : public Sampler {
 public:
  explicit RandomSampler(const Space& space) : space_(space) {}
  Point Propose(const History&, const Ask& ask) override { return DrawUniform(space_, ask.seed); }

 private:
  const Space& space_;
};

class SobolSampler : public Sampler {
 public:
  explicit SobolSampler(const Space& space) : space_(space) {}
  Point Propose(const History&, const Ask& ask) override {
    if (ask.attempt > 0) return DrawUniform(space_, ask.seed);
    return space_.FromFeatures(
        ScrambledSobol(ask.study_seed, static_cast<uint32_t>(ask.index), space_.size()));
  }

 private:
  const Space& space_;
};

class GridSampler : public Sampler {
 public:
  explicit GridSampler(const Space& space) : space_(space) {}
  Point Propose(const History&, const Ask& ask) override {
    return space_.GridPoint(
        std::fmod(static_cast<double>(ask.index) + ask.attempt, space_.Count()));
  }

 private:
  const Space& space_;
};

}  // namespace

Point DrawUniform(const Space& space, uint64_t seed) {
  Random random(seed);
  std::vector<double> features(space.size());
  for (double& feature : features) feature = random.Uniform();
  return space.FromFeatures(features);
}

std::unique_ptr<Sampler> MakeRandomSampler(const Space& space) {
  return std::make_unique<RandomSampler>(space);
}
std::unique_ptr<Sampler> MakeSobolSampler(const Space& space) {
  return std::make_unique<SobolSampler>(space);
}
std::unique_ptr<Sampler> MakeGridSampler(const Space& space) {
  return std::make_unique<GridSampler>(space);
}

}  // namespace trainyard::tuning
