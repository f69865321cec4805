// The optimiser's interface: history in, suggestions and stops out. Pure and seeded: no clock, no
// thread, no I/O. The same spec, seed and sequence of calls give byte-identical answers on every
// machine, also when an optimiser is rebuilt by feeding it the stored trials again in order of id.
#ifndef TRAINYARD_SCHEDULER_TUNING_TUNING_H_
#define TRAINYARD_SCHEDULER_TUNING_TUNING_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "trainyard/v1/spec.pb.h"
#include "trainyard/v1/study.pb.h"

namespace trainyard::tuning {

// One trial as the optimiser sees it; each call of Observe gives the whole current record.
struct TrialRecord {
  int32_t id = 0;  // from 1
  v1::TrialState state = v1::REQUESTED;
  std::vector<v1::ParameterValue> parameters;
  std::vector<v1::Measurement> measurements;         // rising steps; may be thinned
  std::optional<v1::Measurement> final_measurement;  // succeeded trials
  bool stopped_early = false;
  bool held = false;         // taken off its place, may go on
  int64_t resumed_step = 0;  // last step when it went on after that
  double end_seconds = 0;    // when it ended, since the study began
};

struct Suggestion {
  std::vector<v1::ParameterValue>
      parameters;     // active parameters only, in spec order (parents first)
  uint64_t seed = 0;  // of the random numbers it was drawn with
  // With duplicates REUSE: a succeeded trial with the same parameters, whose measurement may stand
  // for this one's; 0 when there is none.
  int32_t same_as = 0;
  // With algorithm PBT: the ended trial from whose checkpoint this one goes on; 0: from nothing.
  int32_t origin = 0;
};
struct SuggestResult {
  std::vector<Suggestion> suggestions;  // at most `count`
  bool exhausted = false;               // a finite space has nothing more to offer
};
struct StopAdvice {
  int32_t trial = 0;
  std::string reason;  // for people: "best 0.71 is below the median 0.83 of 7 trials at step 10"
  bool may_resume = false;  // may be held instead, see AdviseResumes
};
struct StudyStop {
  bool stop = false;
  std::string reason;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // Adds or replaces the record of one trial.
  virtual void Observe(TrialRecord trial) = 0;
  // Proposals for trials first_id, first_id + 1, ...; sees pending, running and stopped trials.
  virtual absl::StatusOr<SuggestResult> Suggest(int32_t first_id, int count) = 0;
  // Running trials that should end now by the study's stopping spec. Ask again at any time.
  virtual std::vector<StopAdvice> AdviseStops() = 0;
  // Held trials that should go on now, the most promising first. Ask again at any time.
  virtual std::vector<int32_t> AdviseResumes() = 0;
  // Whether the whole study should end; `elapsed_seconds` since it began.
  virtual StudyStop AdviseStudy(double elapsed_seconds) = 0;
  // Ids of the best succeeded trials, best first; several metrics: the Pareto front. See best.h.
  virtual std::vector<int32_t> Best(int count) const = 0;
};

// Faults (INVALID_ARGUMENT, all at once, reasons BAD_SEARCH_SPACE and others with field paths
// "parameters[2].max") when the spec is impossible or asks for an algorithm that is not built in.
absl::Status CheckStudySpec(const v1::StudySpec& spec);

// A study to learn from. Parameters and the metric are known again by their names.
struct EarlierStudy {
  v1::StudySpec spec;
  std::vector<TrialRecord> trials;
};

// `seed`: of the study, used where spec.seed is 0. The spec must pass CheckStudySpec. `earlier`:
// studies that the model-based algorithms (the default, GP) learn from, oldest first; what this
// study's own trials contradict is dropped.
absl::StatusOr<std::unique_ptr<Optimizer>> MakeOptimizer(
    const v1::StudySpec& spec, uint64_t seed, const std::vector<EarlierStudy>& earlier = {});

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_TUNING_H_
