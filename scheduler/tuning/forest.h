// A small random forest over a search space, made to be taken apart: how much of the variance of
// what it predicts belongs to each parameter alone (functional analysis of variance). Sources:
// Breiman, "Random forests" (2001); Hutter, Hoos and Leyton-Brown, "An efficient approach for
// assessing hyperparameter importance" (2014). Features are cut into at most 32 bins, so that the
// domain of a leaf is a bit mask a parameter and every integral is a sum. Pure and seeded.
#ifndef TRAINYARD_SCHEDULER_TUNING_FOREST_H_
#define TRAINYARD_SCHEDULER_TUNING_FOREST_H_

#include <cstdint>
#include <vector>

#include "common/random.h"
#include "scheduler/tuning/space.h"

namespace trainyard::tuning {

struct VarianceShares {
  std::vector<double> alone;      // a parameter: share of the variance, mean over the trees
  std::vector<double> deviation;  // over the trees
  double together = 0;            // of all interactions
};

class Forest {
 public:
  // `points`: values of every trial; `values`: what it came to, all finite. At least one.
  Forest(const Space& space, const std::vector<const Point*>& points,
         const std::vector<double>& values, uint64_t seed);

  // Of the even distribution over the whole space. All zero when nothing varies.
  VarianceShares Shares() const;

 private:
  struct Leaf {
    double value;
    double volume;                // share of the space
    std::vector<uint32_t> masks;  // a dimension: its bins
  };
  using Tree = std::vector<Leaf>;
  struct Split {
    double gain = 0;
    int dimension = -1;
    uint32_t left = 0;  // bins
  };
  Tree Grow(const std::vector<double>& values, Random* random) const;
  Split BestSplit(const std::vector<double>& values, const std::vector<int>& rows,
                  const std::vector<uint32_t>& masks, Random* random) const;
  Split SplitOf(const std::vector<double>& values, const std::vector<int>& rows, int dimension,
                uint32_t mask) const;
  void SharesOf(const Tree& tree, std::vector<double>* alone) const;

  int dimensions_;
  int rows_;
  std::vector<int> bins_;          // a dimension
  std::vector<char> categorical_;  // a dimension
  std::vector<uint8_t> binned_;    // dimension by dimension
  std::vector<Tree> trees_;
};

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_FOREST_H_
