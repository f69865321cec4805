// Live progress of a tuning job until it ends: a display that redraws itself on a terminal, a line
// for each trial that ends elsewhere. Reads twice a second; survives a scheduler that restarts.
// One thread.
#ifndef TRAINYARD_CLIENT_CLI_PROGRESS_H_
#define TRAINYARD_CLIENT_CLI_PROGRESS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cli/context.h"
#include "trainyard/v1/job.pb.h"
#include "trainyard/v1/study.pb.h"

namespace trainyard::cli {

// What the display shows at one moment: at most `columns` wide, lines ended by '\n'.
std::string ProgressFrame(const v1::Job& job, const std::vector<v1::Trial>& trials,
                          absl::Duration elapsed, int columns, bool color);
// The line of a trial that has ended: "trial 3 SUCCEEDED accuracy=0.97 (best) lr=0.1".
std::string TrialLine(const v1::Trial& trial, const v1::StudySpec& spec, bool best);

// Shows the job on Err until it ends: VerdictOf(job). Ctrl-C leaves it running. `patient`: also a
// job that no node could ever run is waited for.
absl::Status ShowProgress(Context* context, const v1::Job& job, bool patient);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_PROGRESS_H_
