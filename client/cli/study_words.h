// What the study commands share: names of trials, metrics from the command line, printing of trials
// and studies. One thread.
#ifndef TRAINYARD_CLIENT_CLI_STUDY_WORDS_H_
#define TRAINYARD_CLIENT_CLI_STUDY_WORDS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/arguments.h"
#include "client/cli/command.h"
#include "client/cli/context.h"
#include "client/cli/output.h"
#include "trainyard/v1/study.pb.h"

namespace trainyard::cli {

// "projects/p/studies/s/trials/3" from the words STUDY TRIAL.
absl::StatusOr<std::string> TrialNameOf(Context* context, const Arguments& arguments);

// --metric NAME=VALUE (finite), --step and --elapsed as a measurement.
absl::StatusOr<v1::Measurement> MeasurementOf(const Arguments& arguments);
std::vector<Flag> MeasurementFlags();

// Trials with the columns of the study's objective, as a list in the format asked for.
absl::Status PrintTrials(Context* context, const std::string& study,
                         const std::vector<v1::Trial>& trials);

Table StudyTable(const std::vector<const v1::Study*>& studies);
std::string StudyPage(const v1::Study& study);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_STUDY_WORDS_H_
