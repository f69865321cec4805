// Life of a job as people see it: submitted, cancelled, paused, ended. How its runs and its study
// go is theirs to know.
#ifndef TRAINYARD_SCHEDULER_CORE_JOB_MACHINE_H_
#define TRAINYARD_SCHEDULER_CORE_JOB_MACHINE_H_

#include <string>

#include "absl/status/statusor.h"
#include "scheduler/core/draft.h"

namespace trainyard::core {

inline constexpr size_t kJobsMax = 1'000'000;  // in memory; RESOURCE_EXHAUSTED beyond

absl::StatusOr<Reply> Submit(const SubmitJob& command, Draft* draft);
absl::StatusOr<Reply> Cancel(const CancelJob& command, Draft* draft);
absl::StatusOr<Reply> SetLabels(const SetJobLabels& command, Draft* draft);
absl::StatusOr<Reply> Pause(const PauseJob& command, Draft* draft);

// The job's last event. Nothing when it has ended.
void EndJob(uint64_t job_uid, v1::JobState state, const v1::ExitRecord* error, Draft* draft);

// A job somebody may change, with access checked.
absl::StatusOr<JobPtr> FindToChange(absl::string_view project, absl::string_view job_id,
                                    const Draft& draft);
// Cancels the job whoever asks: its runs are stopped, its study ends.
void CancelForGood(const records::JobRow& job, const std::string& reason, Draft* draft);

// A name from the display name that no job of the project has.
std::string MadeUpName(absl::string_view project, const v1::JobSpec& spec, uint64_t uid,
                       const State& state);
// "name-2" and so on: the first that is free.
std::string FreeNameLike(absl::string_view project, absl::string_view name, uint64_t uid,
                         const State& state);
bool IsNameTaken(absl::string_view project, absl::string_view name, const State& state);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_JOB_MACHINE_H_
