// Life of one run between attempts: WAITING BACKING_OFF ACTIVE PAUSED DONE. What a run's end means
// for its job or trial is decided here once (RunIsDone).
#ifndef TRAINYARD_SCHEDULER_CORE_RUN_MACHINE_H_
#define TRAINYARD_SCHEDULER_CORE_RUN_MACHINE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "scheduler/core/draft.h"

namespace trainyard::core {

class Limits;

// Places a waiting run as planned, after checking again that everything still fits, also into
// `limits`, which then have it. The error says
// what does not, and `node_id` where, empty when it is not about one node; the run goes on waiting.
absl::Status PlaceRun(const PlacedRun& plan, Limits* limits, Draft* draft, std::string* node_id);

// Whether a run of the job may be on the node, which exists: its labels and taints, that the node
// is not kept free now, and that the run surely ends before it will be or goes away. A run that may
// be preempted is there until then.
absl::Status CheckNode(const std::string& node_id, const records::JobRow& job,
                       const v1::JobSpec& spec, const Draft& draft);

// Ends the run for good: an active attempt is asked to stop for `reason`, a run without one is done
// at once, with `cause` and `message`.
void StopRun(uint64_t run_uid, wire::StopReason reason, v1::ExitCause cause,
             absl::string_view message, Draft* draft);

// Takes a run out of the queue, or its attempt off its nodes; the checkpoint stays.
void PauseRun(uint64_t run_uid, Draft* draft);
void ResumeRun(uint64_t run_uid, Draft* draft);

// Acts on the run's deadline when it is due.
void RunIsDue(uint64_t run_uid, Draft* draft);

// When the run's trial must wait for measurements that are still on their way, notes until when.
void PlanSettling(const records::RunRow& run, Draft* draft, records::AttemptEnded* ended);

// The run reached DONE: its job ends, or its trial.
void RunIsDone(uint64_t run_uid, Draft* draft);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_RUN_MACHINE_H_
