// See study_file.h.
#include "client/cli/study_file.h"

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/spec/spec.h"

namespace trainyard::cli {
namespace {

absl::Status FaultOf(const std::string& file, absl::string_view reason, absl::string_view message,
                     absl::string_view fix) {
  v1::Faults faults;
  v1::Fault* fault = faults.add_faults();
  fault->set_reason(std::string(reason));
  fault->set_file(file);
  fault->set_message(std::string(message));
  fault->set_fix(std::string(fix));
  return MakeError(absl::StatusCode::kInvalidArgument, faults);
}

}  // namespace

bool IsStudyAlone(const std::string& text, const std::string& file) {
  return spec::ParseStudySpec(text, file).ok() && !spec::ParseJobSpec(text, file).ok();
}

absl::Status StudyAlone(const std::string& file) {
  return FaultOf(file, "MISSING_FIELD",
                 "the file holds a study alone: nothing says what its trials run",
                 absl::StrCat("as a study: trainyard validate --study ", file,
                              ", trainyard study create; a tuning job has studySpec with "
                              "maxTrialCount and trialJobSpec beside it"));
}

v1::Faults FaultsOfStudy(const std::string& text, const std::string& file) {
  v1::Faults faults = spec::ParseStudySpec(text, file).faults;
  if (faults.faults().empty() || !spec::ParseJobSpec(text, file).ok()) return faults;
  return FaultsOf(FaultOf(file, "INVALID_ARGUMENT", "the file holds a whole job, not a study",
                          absl::StrCat("as a job: trainyard validate ", file,
                                       ", trainyard hp-tuning-jobs create; a study is what stands "
                                       "below its studySpec")));
}

}  // namespace trainyard::cli
