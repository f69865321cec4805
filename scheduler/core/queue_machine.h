// What changes a job's place in the queue: priority, hold, queue, limits; and the jobs that it
// waits for. Dependencies are on jobs that exist at the submit and never change, so there is no
// cycle.
#ifndef TRAINYARD_SCHEDULER_CORE_QUEUE_MACHINE_H_
#define TRAINYARD_SCHEDULER_CORE_QUEUE_MACHINE_H_

#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/core/draft.h"

namespace trainyard::core {

absl::StatusOr<Reply> ChangeQueueing(const SetQueueing& command, Draft* draft);

// The jobs of `command` that have not ended yet. NOT_FOUND for an unknown one, FAILED_PRECONDITION
// for one whose end makes this job impossible.
absl::StatusOr<std::vector<records::WaitsFor>> FindDependencies(const SubmitJob& command,
                                                                const Draft& draft);

// Tells the jobs that wait for this one how it ended. One command tells at most 256; those that are
// not told go on waiting, and the next Tick, which is due at once, goes on with them.
void TellDependents(const records::JobRow& ended, v1::JobState state, Draft* draft);
void TellUntold(Draft* draft);

// Cancels jobs whose dependency ended otherwise than they need; at most `most`.
void CancelBroken(int most, Draft* draft);

// Whether the queue exists and takes a job of this project and limit; fills in the queue's limit.
absl::Status CheckQueue(const std::string& project, const Draft& draft, v1::JobSpec* spec);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_QUEUE_MACHINE_H_
