// Resource names: projects/{p}/jobs/{j}, projects/{p}/studies/{s}, .../trials/{n}, nodes/{n}.
// Thread-safe.
#ifndef TRAINYARD_COMMON_NAMES_H_
#define TRAINYARD_COMMON_NAMES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace trainyard {

struct JobName {
  std::string project;
  std::string job;
};
struct TrialName {
  std::string project;
  std::string study;
  int32_t trial = 0;
};

std::string FormatProject(absl::string_view project);
std::string FormatJob(absl::string_view project, absl::string_view job);
std::string FormatStudy(absl::string_view project, absl::string_view study);
std::string FormatTrial(absl::string_view project, absl::string_view study, int32_t trial);
std::string FormatNode(absl::string_view node);

// Each: INVALID_ARGUMENT (reason BAD_NAME) that says what was expected.
absl::StatusOr<std::string> ParseProject(absl::string_view name);
absl::StatusOr<JobName> ParseJob(absl::string_view name);
absl::StatusOr<JobName> ParseStudy(absl::string_view name);  // .job holds the study id
absl::StatusOr<TrialName> ParseTrial(absl::string_view name);
absl::StatusOr<std::string> ParseNode(absl::string_view name);

// Ids of jobs, studies, projects: a letter, then letters, digits, '_' or '-', at most 128
// characters.
absl::Status CheckId(absl::string_view what, absl::string_view id);

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_NAMES_H_
