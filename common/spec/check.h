// Checks of a whole JobSpec or StudySpec, whether it came from a file or over the wire. Faults name
// paths in the message (studySpec.parameters[0].doubleRange); PlaceFaults() turns them into places
// in the file. Pure and thread-safe.
#ifndef TRAINYARD_COMMON_SPEC_CHECK_H_
#define TRAINYARD_COMMON_SPEC_CHECK_H_

#include <string>

#include "absl/strings/string_view.h"
#include "trainyard/v1/error.pb.h"
#include "trainyard/v1/spec.pb.h"

namespace trainyard::spec {

class Checker {
 public:
  explicit Checker(v1::Faults* faults) : faults_(faults) {}
  void Say(absl::string_view path, absl::string_view reason, absl::string_view message,
           absl::string_view expected, absl::string_view fix);

 private:
  v1::Faults* faults_;
};

// What can be told of a study alone. `path`: "studySpec" or "".
void CheckStudy(const v1::StudySpec& study, const std::string& path, Checker* checker);
// Trial counts against the study: parallel above max, grid above max.
void CheckTrialCounts(const v1::JobSpec& spec, Checker* checker);
// Values that are wrong by themselves, also before flags and tiers are applied.
void CheckValues(const v1::JobSpec& spec, Checker* checker);

// Of these, what is only known once the tier has given the replicas: minReplicas. Says nothing
// that was said before.
void CheckElastic(const v1::JobSpec& spec, Checker* checker);
// What must be there once everything is applied.
void CheckComplete(const v1::JobSpec& spec, Checker* checker);

}  // namespace trainyard::spec

#endif  // TRAINYARD_COMMON_SPEC_CHECK_H_
