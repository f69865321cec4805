// Stops trials whose predicted final value has little chance to be among the best. Ranks finals,
// not what was reached so far: slow curves that cross fast ones live as long as the doubt about
// them is large. The chance demanded rises while the study spends more than its share of steps.
// Thread-compatible; answers depend on the history alone.
#ifndef TRAINYARD_SCHEDULER_TUNING_CURVE_STOP_H_
#define TRAINYARD_SCHEDULER_TUNING_CURVE_STOP_H_

#include <vector>

#include "scheduler/tuning/curve_model.h"
#include "scheduler/tuning/history.h"
#include "scheduler/tuning/tuning.h"

namespace trainyard::tuning {

class CurveStop {
 public:
  explicit CurveStop(const v1::StudySpec::StoppingSpec& spec) : spec_(spec), curves_(spec) {}

  std::vector<StopAdvice> Advise(const History& history);

 private:
  const v1::StudySpec::StoppingSpec spec_;
  StudyCurves curves_;
};

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_CURVE_STOP_H_
