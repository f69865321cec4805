// CMA-ES as a sampler: the trials in order of id are replayed as generations, so that the answer
// depends on the history alone; what was replayed before is kept. A generation is as many ended
// trials as the population is large, whatever runs beside them. Categories are drawn by how often
// each stood among the better half of the last generation. A strategy that has converged begins
// anew elsewhere with twice the population (Auger and Hansen, "A restart CMA evolution strategy
// with increasing population size", 2005).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <optional>

#include "scheduler/tuning/cma_es.h"
#include "scheduler/tuning/sampler.h"
#include "scheduler/tuning/scalarize.h"

namespace trainyard::tuning {
namespace {

constexpr double kSigmaStart = 0.25;
constexpr int kPopulationMax = 200;
constexpr double kCategoryFloor = 0.5;  // counts that every category has from the start

class CmaSampler : public Sampler {
 public:
  CmaSampler(const v1::StudySpec& spec, const Space& space) : spec_(spec), space_(space) {
    for (const Dimension& dimension : space.dimensions()) {
      levels_.push_back(dimension.is_categorical() ? 1 : dimension.Levels());
    }
  }

  Point Propose(const History& history, const Ask& ask) override {
    Replay(history, ask.study_seed);
    Random random(MixSeed(ask.seed, 0xc3a));
    const Eigen::VectorXd drawn = strategy_->Draw(&random);
    std::vector<double> features(drawn.begin(), drawn.end());
    for (int d = 0; d < space_.size(); ++d) {
      if (!space_.dimension(d).is_categorical()) continue;
      features[static_cast<size_t>(d)] = DrawCategory(d, &random);
    }
    return space_.FromFeatures(features);
  }

 private:
  struct Told {
    double value;
    Eigen::VectorXd features;
    const Point* point;
  };

  void Begin(uint64_t seed) {
    Eigen::VectorXd mean = Eigen::VectorXd::Constant(space_.size(), 0.5);
    int population = DefaultPopulation(space_.size());
    if (restarts_ > 0) {
      Random random(MixSeed(seed, 0xbe91 + static_cast<uint64_t>(restarts_)));
      for (double& m : mean) m = 0.15 + 0.7 * random.Uniform();
      population = std::min(kPopulationMax, population << std::min(restarts_, 5));
    }
    strategy_.emplace(std::move(mean), kSigmaStart, levels_, population);
    counts_.clear();
  }

  // Goes on where it stopped, or from the start when an earlier trial has changed.
  void Replay(const History& history, uint64_t seed) {
    const Scalarizer scalarizer(spec_, history, /*seed=*/0);
    uint64_t key = 1;
    size_t ended = 0;
    std::vector<Told> generation;
    if (!Unchanged(history, scalarizer)) {
      restarts_ = 0;
      consumed_ = 0;
      Begin(seed);
    }
    for (const auto& [id, entry] : history.entries()) {
      if (entry.status == Entry::kPending) continue;
      const double value = ValueOf(entry, scalarizer);
      key = KeyWith(key, id, value);
      if (++ended <= consumed_) continue;
      generation.push_back({value, FeaturesOf(entry.point), &entry.point});
      if (static_cast<int>(generation.size()) < strategy_->population()) continue;
      Learn(&generation);
      consumed_ = ended;
      consumed_key_ = key;
      if (strategy_->Converged()) {
        ++restarts_;
        Begin(seed);
      }
    }
  }

  bool Unchanged(const History& history, const Scalarizer& scalarizer) const {
    if (!strategy_.has_value()) return false;
    uint64_t key = 1;
    size_t ended = 0;
    for (const auto& [id, entry] : history.entries()) {
      if (ended == consumed_) break;
      if (entry.status == Entry::kPending) continue;
      key = KeyWith(key, id, ValueOf(entry, scalarizer));
      ++ended;
    }
    return ended == consumed_ && (consumed_ == 0 || key == consumed_key_);
  }

  static uint64_t KeyWith(uint64_t key, int32_t id, double value) {
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return MixSeed(MixSeed(key, static_cast<uint64_t>(id)), bits);
  }

  static double ValueOf(const Entry& entry, const Scalarizer& scalarizer) {
    return entry.status == Entry::kSucceeded ? scalarizer.Value(entry)
                                             : std::numeric_limits<double>::infinity();
  }

  Eigen::VectorXd FeaturesOf(const Point& point) const {
    std::vector<double> features = space_.ToFeatures(point);
    for (int d = 0; d < space_.size(); ++d) {  // categories are not the strategy's
      if (space_.dimension(d).is_categorical()) {
        features[static_cast<size_t>(d)] = strategy_->mean()[d];
      }
    }
    return Eigen::Map<const Eigen::VectorXd>(features.data(), space_.size());
  }

  void Learn(std::vector<Told>* generation) {
    std::stable_sort(generation->begin(), generation->end(),
                     [](const Told& a, const Told& b) { return a.value < b.value; });
    std::vector<Eigen::VectorXd> sorted;
    for (const Told& told : *generation) sorted.push_back(told.features);
    strategy_->Update(sorted);
    counts_.clear();
    for (size_t i = 0; i < generation->size() / 2; ++i) {
      for (int d = 0; d < space_.size(); ++d) {
        const double value = (*(*generation)[i].point)[static_cast<size_t>(d)];
        if (space_.dimension(d).is_categorical() && !std::isnan(value)) counts_[{d, value}] += 1;
      }
    }
    generation->clear();
  }

  double DrawCategory(int d, Random* random) const {
    const Dimension& dimension = space_.dimension(d);
    std::vector<double> weights;
    double sum = 0;
    for (double level = 0; level < dimension.Levels(); ++level) {
      const auto count = counts_.find({d, level});
      weights.push_back(kCategoryFloor + (count == counts_.end() ? 0 : count->second));
      sum += weights.back();
    }
    double left = random->Uniform() * sum;
    for (size_t level = 0; level < weights.size(); ++level) {
      left -= weights[level];
      if (left < 0) return dimension.ToFeature(static_cast<double>(level));
    }
    return dimension.ToFeature(dimension.Levels() - 1);
  }

  const v1::StudySpec& spec_;
  const Space& space_;
  std::vector<double> levels_;
  std::optional<CmaEs> strategy_;
  std::map<std::pair<int, double>, double> counts_;
  int restarts_ = 0;
  size_t consumed_ = 0;  // ended trials in the strategy
  uint64_t consumed_key_ = 1;
};

}  // namespace

std::unique_ptr<Sampler> MakeCmaSampler(const v1::StudySpec& spec, const Space& space) {
  return std::make_unique<CmaSampler>(spec, space);
}

}  // namespace trainyard::tuning
