// Folding one event into rows, without policy: the same function serves the state and drafts, and
// events of older binaries. A fold never refuses: an event about something unknown changes nothing.
#ifndef TRAINYARD_SCHEDULER_CORE_FOLD_H_
#define TRAINYARD_SCHEDULER_CORE_FOLD_H_

#include "scheduler/core/rows.h"

namespace trainyard::core {

void Fold(const records::Event& event, Rows* rows);

// Why a node is away whose agent's key was revoked; gone when it comes in with another one.
inline constexpr char kKeyRevoked[] = "its key was revoked";

// Parts of Fold by noun; each handles the kinds of its file alone.
void FoldCluster(const records::Event& event, Rows* rows);  // server, projects, tiers, tokens
void FoldAgent(const records::Event& event, Rows* rows);
void FoldJob(const records::Event& event, Rows* rows);
void FoldRun(const records::Event& event, Rows* rows);
void FoldAttempt(const records::Event& event, Rows* rows);
void FoldMember(const records::Event& event, Rows* rows);  // facts of agents
void FoldStudy(const records::Event& event, Rows* rows);
// The trial of a run that was paused, or goes on after a pause: it is requested again meanwhile.
void FoldRunIntoTrial(const records::Event& event, uint64_t run_uid, Rows* rows);
void FoldQueue(const records::Event& event, Rows* rows);  // places in the queue, settings

// The member of `attempt` of that number, null when there is none.
records::MemberRow* MemberOf(records::AttemptRow* attempt, int32_t member);
const records::MemberRow* MemberOf(const records::AttemptRow& attempt, int32_t member);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_FOLD_H_
