// One number for trials with several metrics: the augmented Chebyshev scalarisation with weights
// drawn by seed (Knowles, "ParEGO", 2006), so that successive asks go for different parts of the
// Pareto front. Metrics with a safety threshold are limits (goals too when there are no others):
// breaking one costs more than any goal can give. A single metric is passed through. Pure.
#ifndef TRAINYARD_SCHEDULER_TUNING_SCALARIZE_H_
#define TRAINYARD_SCHEDULER_TUNING_SCALARIZE_H_

#include <cstdint>
#include <vector>

#include "scheduler/tuning/history.h"

namespace trainyard::tuning {

class Scalarizer {
 public:
  Scalarizer(const v1::StudySpec& spec, const History& history, uint64_t seed);
  // Of a succeeded trial; less is better.
  double Value(const Entry& entry) const;
  // The same without what breaking limits costs.
  double Goal(const Entry& entry) const;

 private:
  struct Part {
    int metric;
    double low;
    double range;
    double weight;  // of a goal
    bool is_limit;
    bool is_goal;
    double limit;
  };
  std::vector<Part> parts_;  // empty: one metric without a limit
};

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_SCALARIZE_H_
