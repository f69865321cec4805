// An earlier study from its JSON text, for trainyard-tune --earlier. Pure.
#ifndef TRAINYARD_SCHEDULER_TUNING_EARLIER_STUDY_H_
#define TRAINYARD_SCHEDULER_TUNING_EARLIER_STUDY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/tuning/tuning.h"

namespace trainyard::tuning {

struct EarlierStudyText {
  std::string spec_text;  // JSON of a studySpec, to be parsed as specs are
  std::vector<TrialRecord> trials;
};

// {"spec": {...}, "trials": [{"parameters": {...}, "metrics": {...}}]}; a trial with "infeasible"
// has failed. Numbers for integer parameters are whole numbers. INVALID_ARGUMENT names the trial
// that is wrong.
absl::StatusOr<EarlierStudyText> ParseEarlierStudy(absl::string_view text);

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_EARLIER_STUDY_H_
