// Studies and jobs share their words, so that the file of one is easily given for the other: what
// is said then. Pure; offline.
#ifndef TRAINYARD_CLIENT_CLI_STUDY_FILE_H_
#define TRAINYARD_CLIENT_CLI_STUDY_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "trainyard/v1/error.pb.h"

namespace trainyard::cli {

// Whether the text is a good study and no job at all.
bool IsStudyAlone(const std::string& text, const std::string& file);
// What is said of such a file where a job was wanted: INVALID_ARGUMENT.
absl::Status StudyAlone(const std::string& file);

// Faults and notes of a file that is to be a study; one fault alone when it is a whole job.
v1::Faults FaultsOfStudy(const std::string& text, const std::string& file);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_STUDY_FILE_H_
