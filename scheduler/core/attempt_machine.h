// Life of one attempt: LEASED PREPARING STARTING RUNNING STOPPING, then its verdict.
//  - A gang starts in two phases: all members prepare, then all get the order to run; an attempt of
//  one member may run as soon as it is prepared, without asking.
//  - The first failure is the attempt's; the other members are stopped, and the verdict waits until
//  each of them exited, is gone, or the grace is over.
//  - Facts fold into rows whatever they mean; what follows from the rows is decided by Advance,
//  which may be called at any time and does nothing when there is nothing to do.
#ifndef TRAINYARD_SCHEDULER_CORE_ATTEMPT_MACHINE_H_
#define TRAINYARD_SCHEDULER_CORE_ATTEMPT_MACHINE_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/core/draft.h"

namespace trainyard::core {

// Takes what an agent says. False: it changed nothing (repeated, an old epoch, an unknown member).
absl::StatusOr<bool> TakeFact(const AgentFact& command, Draft* draft);

// What follows from the rows of the run's attempt.
void AdvanceAttempt(uint64_t run_uid, Draft* draft);

// Asks every member that is not over to stop, once. `exit`: the failure behind it, where there is.
// `why`: in words, for people, of a stop that nobody asked for by name.
void StopAttempt(uint64_t run_uid, wire::StopReason reason, const v1::ExitRecord* exit,
                 Draft* draft, absl::string_view why = "");

// Takes the run off its nodes with its grace, so that it leaves a checkpoint; it waits again then.
// Nothing when it stops already. `reason`: STOP_PREEMPT, or STOP_RESIZE of an elastic run that goes
// on with fewer replicas, which does not count as a preemption. `why`: in words, for people.
void PreemptRun(uint64_t run_uid, wire::StopReason reason, absl::string_view why, Draft* draft);

// The verdict when every member that is not over is on a node that neither the gang nor the
// scheduler hears of, although its lease goes on; else nothing. What such a node holds stays held.
void EndSilentGang(const GangSilence& command, Draft* draft);

// The verdict, now; members that are not over count as lost.
void EndAttempt(uint64_t run_uid, Draft* draft);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_ATTEMPT_MACHINE_H_
