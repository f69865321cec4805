// What a point is expected to add to a Pareto front of two goals: the area that it beats and
// nothing before it did, up to a reference point. Exact for two independent normal goals, in time
// linear in the front (strips after Emmerich and others, "Multicriteria optimization and expected
// hypervolume improvement", 2016). Pure; thread-safe.
#ifndef TRAINYARD_SCHEDULER_TUNING_FRONT_GAIN_H_
#define TRAINYARD_SCHEDULER_TUNING_FRONT_GAIN_H_

#include <array>
#include <vector>

namespace trainyard::tuning {

struct Expected {
  double mean = 0;
  double deviation = 1;  // above 0
};

using Goals = std::array<double, 2>;  // less is better

class FrontGain {
 public:
  // Points that others beat, or that are not better than the reference in both goals, count for
  // nothing.
  FrontGain(std::vector<Goals> points, const Goals& reference);

  // Logarithm of the expected gain, at least that of 1e-300. `slopes`: its derivatives by the mean
  // and the deviation of the first goal, then of the second; may be null.
  double LogAt(const Expected& first, const Expected& second, std::array<double, 4>* slopes) const;

 private:
  std::vector<Goals> front_;  // first goal rising, second falling
  Goals reference_;
};

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_FRONT_GAIN_H_
