// Judging an attempt that is over: what it was, why, and what becomes of its run. Budgets apart:
// user failures (spec, default 0), infrastructure failures (spec, default 5, with back-off from 1 s
// doubling to 5 min), preemptions free. Pure.
#ifndef TRAINYARD_SCHEDULER_CORE_VERDICT_H_
#define TRAINYARD_SCHEDULER_CORE_VERDICT_H_

#include "absl/strings/string_view.h"
#include "scheduler/core/rows.h"

namespace trainyard::core {

// How the exit of an attempt begins that was stopped to go on larger; how many it had follows.
inline constexpr absl::string_view kStoppedToGrow = "stopped to go on with more replicas";

// Who pays for a cause.
enum class Blame { kNobody, kUser, kInfrastructure, kStop };
Blame BlameOf(v1::ExitCause cause);

// A member that will say nothing more: exited, gone, or its node is lost.
bool IsOver(const Rows& rows, const records::MemberRow& member);
// An attempt that stops for a failure that may be the echo of a lost node's, and still waits for
// it.
bool AwaitsLostNode(const records::RunRow& run);
// Every member that has not exited well is over.
bool AllOver(const Rows& rows, const records::AttemptRow& attempt);
// Every member exited with 0 by itself, outputs published.
bool Succeeded(const records::AttemptRow& attempt);

// How long a run waits after its n-th failure in a row, n from 1.
int64_t BackOffUs(int failures);

// The whole AttemptEnded, complete in itself. Members that are not over count as lost.
records::AttemptEnded Judge(const Rows& rows, const records::RunRow& run, int64_t now_us);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_VERDICT_H_
