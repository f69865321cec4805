// When running trials, and whole studies, should end early. Pure functions of the history.
#ifndef TRAINYARD_SCHEDULER_TUNING_STOPPING_H_
#define TRAINYARD_SCHEDULER_TUNING_STOPPING_H_

#include <vector>

#include "scheduler/tuning/history.h"
#include "scheduler/tuning/tuning.h"
#include "trainyard/v1/spec.pb.h"

namespace trainyard::tuning {

// Median rule: a trial ends when its best value so far is strictly worse than the median, over
// trials that ran to their end, of their mean value up to the same step. Source: Golovin and
// others, "Google Vizier" (2017), section 3.2. Speaks after min_trials (5) such trials and
// min_steps.
std::vector<StopAdvice> MedianStops(const v1::StudySpec::StoppingSpec& spec,
                                    const History& history);

// Asynchronous successive halving: at each rung min_steps * factor^k (factor 3, at most max_steps)
// a trial goes on when it is in the best 1 / factor of all that reached the rung. One that is not
// is held where it can go on later, and is promoted when others that came after it were worse;
// elsewhere it is stopped. `brackets` above 1 makes it Hyperband: trial id decides the bracket,
// bracket b starts at rung b. Sources: Li and others, "A system for massively parallel
// hyperparameter tuning" (2020); "Hyperband" (2018). One use: `history` must not change meanwhile.
class Rungs {
 public:
  Rungs(const v1::StudySpec::StoppingSpec& spec, const History& history, int brackets);
  // Running trials that are not good enough for the rung they came to.
  std::vector<StopAdvice> Stops();
  // Held trials that are good enough for the last rung they came to, highest rung first.
  std::vector<int32_t> Resumes();

 private:
  struct Verdict {
    double own = 0;
    size_t peers = 0;
    size_t kept = 0;
    bool is_in = true;
  };
  bool Judges(size_t k, const Entry& entry) const;
  std::vector<double>* ScoresFor(size_t k, int32_t id);
  Verdict At(size_t k, const Entry& entry);

  const v1::StudySpec::StoppingSpec& spec_;
  const History& history_;
  const int brackets_;
  const double factor_;
  std::vector<double> steps_;
  std::vector<std::vector<std::vector<double>>> scores_;  // by rung and bracket
};

// Whether the study has the trials and the time that it must have before it may end by itself.
bool MayStop(const v1::StudySpec::StudyStopping& spec, const History& history,
             double elapsed_seconds);
// By the study's own limits: trials, time, progress (of the best trial or the front). Seconds count
// from the study's beginning.
StudyStop AdviseStudyStop(const v1::StudySpec& study, const History& history,
                          double elapsed_seconds);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_STOPPING_H_
