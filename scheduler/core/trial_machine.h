// Life of one trial: REQUESTED ACTIVE STOPPING, then SUCCEEDED or INFEASIBLE. A trial of a tuning
// job is tied to a run; one of an ask/tell study to a client.
#ifndef TRAINYARD_SCHEDULER_CORE_TRIAL_MACHINE_H_
#define TRAINYARD_SCHEDULER_CORE_TRIAL_MACHINE_H_

#include <string>

#include "absl/status/statusor.h"
#include "scheduler/core/draft.h"

namespace trainyard::core {

// Measurements travel apart from exits and may come later. How long (micros) the trial of a run
// that just ended well should wait for them: 0 when the newest is here, or none was ever reported.
int64_t SettleUs(const records::RunRow& run, const Rows& rows);

// Judges the trial of a run that is DONE: by its measurements when the program ended well or was
// stopped early, else INFEASIBLE with the reason.
void EndTrialOfRun(uint64_t run_uid, Draft* draft);
// The run never ran again: INFEASIBLE, or judged by its measurements when stopped early.
void EndTrialWithoutRun(const records::RunRow& run, const v1::ExitRecord& exit, Draft* draft);

// A trial that was never started and never will be: INFEASIBLE with the reason.
void DropTrial(TrialKey key, const std::string& reason, Draft* draft);

// Points from an attempt; those of another epoch, and what the study does not name, are dropped.
// False: nothing was new.
absl::StatusOr<bool> TakeMeasurements(const ReportMeasurements& command, Draft* draft);

// Asks an open trial to stop: its run, or its client when it next reports. Nothing when it ended.
void StopTrial(TrialKey key, const std::string& reason, Draft* draft);

// Takes an active trial off its nodes; it keeps its checkpoint and may go on later. One that has no
// checkpoint to go on from is stopped instead.
void HoldTrial(TrialKey key, const std::string& reason, Draft* draft);
// A held trial may go on as soon as there is room.
void ReleaseTrial(TrialKey key, Draft* draft);

absl::StatusOr<Reply> AskForTrials(const AskTrials& command, Draft* draft);
absl::StatusOr<Reply> TellMeasurement(const AddMeasurement& command, Draft* draft);
absl::StatusOr<Reply> TellCompletion(const CompleteTrial& command, Draft* draft);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_TRIAL_MACHINE_H_
